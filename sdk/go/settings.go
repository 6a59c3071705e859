package nereid

import (
	"strconv"

	"nereid/internal/contract/nereid_plugin_secrets"
	"nereid/internal/contract/nereid_plugin_settings"
)

// Setting is the value under a key in the parameters of config.pbtxt as the type of what it is otherwise. It does not change while a
// plugin lives: read it once, where the plugin is made.
func Setting[T bool | int | int64 | uint64 | float32 | float64 | string](key string, otherwise T) (T, error) {
	text, found := LookupSetting(key)
	if !found {
		return otherwise, nil
	}
	value := otherwise
	if err := parse(text, any(&value)); err != nil {
		return otherwise, Errorf(Internal, "parameter '%s' of config.pbtxt is '%s', expected %T: correct it there", key, text, value)
	}
	return value, nil
}

func parse(text string, target any) (err error) {
	switch target := target.(type) {
	case *string:
		*target = text
	case *bool:
		*target, err = strconv.ParseBool(text)
	case *int:
		*target, err = strconv.Atoi(text)
	case *int64:
		*target, err = strconv.ParseInt(text, 10, 64)
	case *uint64:
		*target, err = strconv.ParseUint(text, 10, 64)
	case *float32:
		var wide float64
		wide, err = strconv.ParseFloat(text, 32)
		*target = float32(wide)
	case *float64:
		*target, err = strconv.ParseFloat(text, 64)
	}
	return err
}

// LookupSetting is the text under a key in the parameters of config.pbtxt, and whether there is one.
func LookupSetting(key string) (string, bool) {
	return nereid_plugin_settings.Get(key).Get()
}

// Settings are all of the parameters of config.pbtxt.
func Settings() map[string]string {
	settings := map[string]string{}
	for _, entry := range nereid_plugin_settings.Entries() {
		settings[entry.F0] = entry.F1
	}
	return settings
}

// InstanceName is the name of the model's instance that this guest works for, for example digits_0_1.
func InstanceName() string {
	return nereid_plugin_settings.InstanceName()
}

// ModelInfo is the model that the plugin serves, as configured. MaxBatchSize is 0 when tensors have no batch dimension; if Decoupled, a
// request may get any number of responses.
type ModelInfo struct {
	Name            string
	Version         uint64
	MaxBatchSize    int
	Inputs, Outputs []TensorInfo
	Decoupled       bool
}

// TensorInfo is an input or an output of the model; -1 in Dims stands for any extent, and the batch dimension is not among them.
type TensorInfo struct {
	Name     string
	DataType DataType
	Dims     []int64
	Optional bool
}

// ThisModel is the model that the plugin serves.
func ThisModel() ModelInfo {
	info := nereid_plugin_settings.Model()
	return ModelInfo{
		info.Name, info.Version, int(info.MaxBatchSize), tensorInfos(info.Inputs), tensorInfos(info.Outputs), info.Decoupled,
	}
}

func tensorInfos(list []nereid_plugin_settings.TensorInfo) []TensorInfo {
	infos := make([]TensorInfo, len(list))
	for index, info := range list {
		infos[index] = TensorInfo{info.Name, DataType(info.Dtype), info.Dims, info.Optional}
	}
	return infos
}

// Secret is a secret that the plugin was granted, as it was when the plugin was loaded.
func Secret(name string) ([]byte, error) {
	return Checked(nereid_plugin_secrets.Get(name))
}
