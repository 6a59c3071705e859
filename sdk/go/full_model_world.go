//go:build nereid_full_model_plugin

package nereid

import (
	"nereid/internal/contract/export_nereid_plugin_completion"
	"nereid/internal/contract/export_nereid_plugin_draining"
	"nereid/internal/contract/export_nereid_plugin_readiness"
	"nereid/internal/contract/nereid_plugin_completion"
	"nereid/internal/contract/nereid_plugin_types"
	"nereid/internal/wit/runtime"
	wit "nereid/internal/wit/types"
)

func init() {
	export_nereid_plugin_completion.Complete = complete
	export_nereid_plugin_readiness.Check = check
	export_nereid_plugin_draining.Drain = drain
}

func complete(
	written nereid_plugin_completion.Draft,
) wit.Result[nereid_plugin_completion.Draft, nereid_plugin_types.Error] {
	defer runtime.EndCall()
	draft := draftFromHost(written)
	err := guarded(func() error {
		if completer == nil {
			return nil
		}
		return completer(&draft)
	})
	if err != nil {
		return wit.Err[nereid_plugin_completion.Draft](errorToHost(err))
	}
	return wit.Ok[nereid_plugin_completion.Draft, nereid_plugin_types.Error](draft.toHost())
}

func check() wit.Result[wit.Unit, nereid_plugin_types.Error] {
	defer runtime.EndCall()
	err := guarded(func() error {
		if checker, has := model.(Checker); has {
			return checker.CheckReady()
		}
		return nil
	})
	if err != nil {
		return wit.Err[wit.Unit](errorToHost(err))
	}
	return wit.Ok[wit.Unit, nereid_plugin_types.Error](wit.Unit{})
}

func drain() {
	defer runtime.EndCall()
	if drainer, has := model.(Drainer); has {
		_ = guarded(func() error {
			drainer.Drain()
			return nil
		})
	}
}

func draftFromHost(host nereid_plugin_completion.Draft) ConfigDraft {
	draft := ConfigDraft{
		MaxBatchSize:    int(host.MaxBatchSize),
		Inputs:          tensorDraftsFromHost(host.Inputs),
		Outputs:         tensorDraftsFromHost(host.Outputs),
		DynamicBatching: host.DynamicBatching,
	}
	if decoupled, said := host.Decoupled.Get(); said {
		draft.Decoupled = &decoupled
	}
	return draft
}

func tensorDraftsFromHost(hosts []nereid_plugin_completion.TensorDraft) []TensorDraft {
	drafts := make([]TensorDraft, len(hosts))
	for index, host := range hosts {
		drafts[index] = TensorDraft{Name: host.Name, Optional: host.Optional}
		if dtype, said := host.Dtype.Get(); said {
			dataType := DataType(dtype)
			drafts[index].DataType = &dataType
		}
		drafts[index].Dims, _ = host.Dims.Get()
	}
	return drafts
}

func (d ConfigDraft) toHost() nereid_plugin_completion.Draft {
	return nereid_plugin_completion.Draft{
		MaxBatchSize:    uint32(d.MaxBatchSize),
		Inputs:          tensorDraftsToHost(d.Inputs),
		Outputs:         tensorDraftsToHost(d.Outputs),
		DynamicBatching: d.DynamicBatching,
		Decoupled:       wit.OfPointer(d.Decoupled),
	}
}

func tensorDraftsToHost(drafts []TensorDraft) []nereid_plugin_completion.TensorDraft {
	hosts := make([]nereid_plugin_completion.TensorDraft, len(drafts))
	for index, draft := range drafts {
		host := nereid_plugin_completion.TensorDraft{Name: draft.Name, Optional: draft.Optional}
		if draft.DataType != nil {
			host.Dtype = wit.Some(uint8(*draft.DataType))
		}
		if draft.Dims != nil {
			host.Dims = wit.Some(draft.Dims)
		}
		hosts[index] = host
	}
	return hosts
}
