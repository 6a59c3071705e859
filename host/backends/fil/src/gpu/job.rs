//! What the kernel is given, and the launch: where numbers become addresses for a device.
#![allow(unsafe_code)] // A launch trusts addresses and sizes; the block says who vouches for them.

use nereid_forest::Link;
use nereid_gpu::{
    GpuStream,
    cudarc::driver::{CudaFunction, DeviceRepr, DriverError, LaunchConfig, PushKernelArg},
};

use crate::{
    gpu::plan::{LaunchPlan, THREADS},
    shape::Answer,
};

/// The argument of the kernel, as `struct Job` in forest.cu has it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Job {
    pub(crate) nodes: u64,
    pub(crate) trees: u64,
    pub(crate) sets: u64,
    pub(crate) words: u64,
    pub(crate) leaf_values: u64,
    pub(crate) additions: u64,
    pub(crate) addition_starts: u64,
    pub(crate) base_scores: u64,
    /// 0 where sums are no averages.
    pub(crate) divisors: u64,
    pub(crate) rows: u64,
    pub(crate) sums: u64,
    pub(crate) answers: u64,
    pub(crate) link_factor: f64,
    pub(crate) row_count: u64,
    pub(crate) tree_count: u32,
    pub(crate) feature_count: u32,
    pub(crate) output_count: u32,
    pub(crate) classes: u32,
    pub(crate) answer_length: u32,
    pub(crate) link: u32,
    pub(crate) answer: u32,
    pub(crate) threshold: f32,
    pub(crate) rows_per_block: u32,
    pub(crate) stages_rows: u32,
}

/// The numbers that link functions have in the kernel; 0 is none.
pub(crate) struct LinkNumber;

/// The numbers that answers have in the kernel; 0 are the scores.
pub(crate) struct AnswerNumber;

// SAFETY: plain numbers in the order and with the sizes that the kernel's own struct has, which it compares when it is
// compiled.
unsafe impl DeviceRepr for Job {}

// === impl Job ===

impl Job {
    /// Launches it on the stream. It is done when the stream is synchronised.
    ///
    /// # Errors
    /// The driver refused.
    pub(crate) fn launch(
        mut self,
        function: &CudaFunction,
        stream: &GpuStream,
        plan: LaunchPlan,
    ) -> Result<(), DriverError> {
        (self.rows_per_block, self.stages_rows) = (plan.rows_per_block, plan.stages_rows.into());
        let config = LaunchConfig {
            grid_dim: (plan.blocks, 1, 1),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: plan.shared_bytes,
        };
        // SAFETY: the forest's arrays are those of `DeviceForest`, places inside each other; rows, sums and answers are
        // allocations that the one caller sized for `row_count` rows and keeps until it has synchronised the stream.
        unsafe { stream.cuda().launch_builder(function).arg(&self).launch(config) }.map(|_| ())
    }
}

// === impl LinkNumber ===

impl LinkNumber {
    pub(crate) const SIGMOID: u32 = 1;
    pub(crate) const SOFTMAX: u32 = 2;
    pub(crate) const EXPONENTIAL: u32 = 3;
    pub(crate) const EXP2: u32 = 4;
    pub(crate) const LOG_ONE_PLUS_EXP: u32 = 5;
    pub(crate) const HINGE: u32 = 6;
    pub(crate) const SIGNED_SQUARE: u32 = 7;

    /// A link's number and factor.
    pub(crate) fn of(link: Link) -> (u32, f64) {
        match link {
            Link::Identity => (0, 0.0),
            Link::Sigmoid { alpha } => (Self::SIGMOID, alpha),
            Link::Softmax => (Self::SOFTMAX, 0.0),
            Link::Exponential => (Self::EXPONENTIAL, 0.0),
            Link::Exp2Ratio { ratio } => (Self::EXP2, 1.0 / ratio),
            Link::LogOnePlusExp => (Self::LOG_ONE_PLUS_EXP, 0.0),
            Link::Hinge => (Self::HINGE, 0.0),
            Link::SignedSquare => (Self::SIGNED_SQUARE, 0.0),
        }
    }
}

// === impl AnswerNumber ===

impl AnswerNumber {
    pub(crate) const BOTH_CLASSES: u32 = 1;
    pub(crate) const ABOVE: u32 = 2;
    pub(crate) const HIGHEST: u32 = 3;

    /// An answer's number and threshold.
    pub(crate) fn of(answer: Answer) -> (u32, f32) {
        match answer {
            Answer::Scores => (0, 0.0),
            Answer::BothClasses => (Self::BOTH_CLASSES, 0.0),
            Answer::Above(threshold) => (Self::ABOVE, threshold),
            Answer::Highest => (Self::HIGHEST, 0.0),
        }
    }
}
