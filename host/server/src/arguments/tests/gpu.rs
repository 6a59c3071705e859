//! Flags of GPUs.

use std::collections::BTreeMap;

use nereid_gpu::GpuSettings;

use super::*;

#[test]
fn gpus_are_limited_one_by_one() {
    let settings = |serve: &ServeArguments| (serve.gpu.settings(), serve.gpu.load_limits());
    check("", settings, (GpuSettings::default(), BTreeMap::new()));
    check(
        "--pinned-memory-pool-byte-size=1024 --cuda-memory-pool-byte-size=0:2048 --cuda-memory-pool-byte-size 1:0 \
         --min-supported-compute-capability=7.5 --model-load-gpu-limit=0:0.5",
        settings,
        (
            GpuSettings {
                pinned_pool_bytes: 1024,
                pool_bytes: BTreeMap::from([(0, 2048), (1, 0)]),
                compute_capability_min: (7, 5),
            },
            BTreeMap::from([(0, 0.5)]),
        ),
    );
    check_refused(
        "serve --model-repository=m --model-load-gpu-limit=0:80",
        "--model-load-gpu-limit=0:80: expected the number of a GPU and a part of its memory from 0 to 1, such as 0:0.8",
    );
    check_refused(
        "serve --model-repository=m --cuda-memory-pool-byte-size=64",
        "--cuda-memory-pool-byte-size=64: expected the number of a GPU and bytes, such as 0:67108864",
    );
    check_refused(
        "serve --model-repository=m --min-supported-compute-capability=new",
        "--min-supported-compute-capability=new: expected a compute capability such as 7.5",
    );
}
