//! What a request to load a model may bring along at most, and how much is loaded on demand.

use std::time::Duration;

nereid_inference::limits! {
    /// Limits of the repository.
    pub struct RepositoryLimits {
        /// Real configurations have a few kilobytes, generated ensembles a few hundred; reading JSON takes 16 times its size.
        override_config_bytes_max: Bytes = 4 << 20, "load-config-bytes", "configuration sent with a load";
        /// A model has a few; a sharded one some dozens.
        override_files_max: Count = 1_000, "load-files", "files sent with one load";
        /// `<version>/model/variables/shard` and some to spare.
        override_path_parts_max: Count = 8, "load-path-parts", "directories and the name in the path of such a file";
        /// What one gRPC message can carry.
        override_bytes_max: Bytes = 2 << 30, "load-bytes", "files sent with one load, together";
        /// Of the folder for temporary files.
        override_bytes_total_max: Bytes = 16 << 30, "load-bytes-total", "files sent for all models that are loaded";
        /// A week of daily changes, and what was tried in between; 400 bytes each.
        generations_max: Count = 32, "generation-history", "generations of one model that are remembered for `/v2/debug`; 400 bytes each";
        /// A hundred models of a few hundred megabytes are what a machine for serving has memory for.
        ondemand_models_max: Count = 100, "ondemand-models", "models loaded at one time with `--model-control-mode=ondemand`, members of ensembles included";
        /// Each holds its tensors.
        ondemand_requests_max: Count = 1_000, "ondemand-requests", "requests that wait for models to be loaded";
        /// Clients commonly give up after a minute.
        ondemand_wait_max: Time = Duration::from_secs(60), "ondemand-wait", "time for a model to be loaded, from the request that wants it";
        /// Long enough not to load a broken model with every request, short enough for who repairs it.
        ondemand_retry_after: Time = Duration::from_secs(30), "ondemand-retry", "time in which a model that failed to load is not tried again";
    }
}
