//! What a request to load a model may bring along at most.

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
    }
}
