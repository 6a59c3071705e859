package nereid

import (
	"fmt"
	"math"

	"nereid/internal/contract/nereid_plugin_types"
)

// Parameters are scalars of requests and responses. The host's are bool, int64, uint64 (beyond the range of int64), float64 and
// string; the other whole numbers and float32 are taken too.
type Parameters map[string]any

// Text is the text under a name; "" where there is none.
func (p Parameters) Text(name string) string {
	text, _ := p[name].(string)
	return text
}

func parametersOf(list []nereid_plugin_types.Parameter) Parameters {
	parameters := make(Parameters, len(list))
	for _, parameter := range list {
		parameters[parameter.Name] = valueOf(parameter.Value)
	}
	return parameters
}

func valueOf(value nereid_plugin_types.Value) any {
	switch value.Tag() {
	case nereid_plugin_types.ValueBoolean:
		return value.Boolean()
	case nereid_plugin_types.ValueInt:
		return value.Int()
	case nereid_plugin_types.ValueUint:
		return value.Uint()
	case nereid_plugin_types.ValueDouble:
		return value.Double()
	default:
		return value.Text()
	}
}

func (p Parameters) toHost() ([]nereid_plugin_types.Parameter, error) {
	list := make([]nereid_plugin_types.Parameter, 0, len(p))
	for name, value := range p {
		scalar, err := valueToHost(value)
		if err != nil {
			return nil, Errorf(Internal, "parameter '%s' is %w", name, err)
		}
		list = append(list, nereid_plugin_types.Parameter{Name: name, Value: scalar})
	}
	return list, nil
}

func valueToHost(value any) (nereid_plugin_types.Value, error) {
	switch value := value.(type) {
	case bool:
		return nereid_plugin_types.MakeValueBoolean(value), nil
	case string:
		return nereid_plugin_types.MakeValueText(value), nil
	case float64:
		return nereid_plugin_types.MakeValueDouble(value), nil
	case float32:
		return nereid_plugin_types.MakeValueDouble(float64(value)), nil
	case uint64:
		return natural(value), nil
	case uint:
		return natural(uint64(value)), nil
	}
	whole, err := wholeOf(value)
	return nereid_plugin_types.MakeValueInt(whole), err
}

func natural(value uint64) nereid_plugin_types.Value {
	if value > math.MaxInt64 {
		return nereid_plugin_types.MakeValueUint(value)
	}
	return nereid_plugin_types.MakeValueInt(int64(value))
}

func wholeOf(value any) (int64, error) {
	switch value := value.(type) {
	case int:
		return int64(value), nil
	case int64:
		return value, nil
	case int32:
		return int64(value), nil
	case int16:
		return int64(value), nil
	case int8:
		return int64(value), nil
	case uint32:
		return int64(value), nil
	case uint16:
		return int64(value), nil
	case uint8:
		return int64(value), nil
	}
	return 0, fmt.Errorf("of type %T, expected bool, a number or a string", value)
}

// Options are parameters of an operation, without those that are nil. For this SDK's own packages, which give the host's types only.
func Options(given Parameters) []nereid_plugin_types.Parameter {
	list := make([]nereid_plugin_types.Parameter, 0, len(given))
	for name, value := range given {
		if scalar, err := valueToHost(value); err == nil {
			list = append(list, nereid_plugin_types.Parameter{Name: name, Value: scalar})
		}
	}
	return list
}
