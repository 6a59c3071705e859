//! Requests that are run before a model counts as ready.

use nereid_inference::config::{WarmupData, WarmupInput, WarmupSample};

use super::{named, number, try_values, values};
use crate::{
    ConfigError,
    proto::{
        DataType, ModelWarmup,
        model_warmup::{self, input::InputDataType},
    },
};

impl From<WarmupSample> for ModelWarmup {
    fn from(WarmupSample { name, batch_size, inputs, count }: WarmupSample) -> Self {
        Self { name, batch_size, inputs: values(inputs), count }
    }
}

impl TryFrom<ModelWarmup> for WarmupSample {
    type Error = ConfigError;

    fn try_from(message: ModelWarmup) -> Result<Self, ConfigError> {
        let ModelWarmup { name, batch_size, inputs, count } = message;
        Ok(Self { name, batch_size, inputs: try_values(inputs)?, count })
    }
}

impl From<WarmupInput> for model_warmup::Input {
    fn from(WarmupInput { data_type, dims, data }: WarmupInput) -> Self {
        let input_data_type = data.map(|data| match data {
            WarmupData::Zero(flag) => InputDataType::ZeroData(flag),
            WarmupData::Random(flag) => InputDataType::RandomData(flag),
            WarmupData::File(name) => InputDataType::InputDataFile(name),
        });
        Self { data_type: number::<DataType, _>(data_type), dims, input_data_type }
    }
}

impl TryFrom<model_warmup::Input> for WarmupInput {
    type Error = ConfigError;

    fn try_from(message: model_warmup::Input) -> Result<Self, ConfigError> {
        let model_warmup::Input { data_type, dims, input_data_type } = message;
        let data = input_data_type.map(|data| match data {
            InputDataType::ZeroData(flag) => WarmupData::Zero(flag),
            InputDataType::RandomData(flag) => WarmupData::Random(flag),
            InputDataType::InputDataFile(name) => WarmupData::File(name),
        });
        Ok(Self { data_type: named::<DataType, _>(data_type)?, dims, data })
    }
}
