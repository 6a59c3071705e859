//go:build nereid_model_plugin || nereid_full_model_plugin

package nereid

import (
	"nereid/internal/contract/export_nereid_plugin_model"
	"nereid/internal/contract/nereid_plugin_model"
	"nereid/internal/contract/nereid_plugin_serving"
	"nereid/internal/contract/nereid_plugin_types"
	_ "nereid/internal/contract/wit_exports" // what the host calls
	"nereid/internal/wit/runtime"
	wit "nereid/internal/wit/types"
)

// model is the plugin, once it was made.
var model Model

func init() {
	runtime.Started()
	export_nereid_plugin_model.Initialise = initialise
	export_nereid_plugin_model.Execute = execute
	export_nereid_plugin_model.Finalise = finalise
}

func initialise() wit.Result[wit.Unit, nereid_plugin_types.Error] {
	defer runtime.EndCall()
	err := guarded(func() (err error) {
		if modelMaker == nil {
			return Errorf(Internal, "the plugin exports nothing: call nereid.ExportModel in init")
		}
		model, err = modelMaker()
		return err
	})
	if err != nil {
		return wit.Err[wit.Unit](errorToHost(err))
	}
	return wit.Ok[wit.Unit, nereid_plugin_types.Error](wit.Unit{})
}

func execute(handles []*nereid_plugin_serving.Request) []nereid_plugin_model.Outcome {
	defer runtime.EndCall()
	batch := make([]*Request, len(handles))
	for index, handle := range handles {
		batch[index] = &Request{handle}
	}
	var outcomes []Outcome
	err := guarded(func() error {
		outcomes = executed(batch)
		return nil
	})
	if err != nil {
		outcomes = make([]Outcome, len(batch))
		for index := range outcomes {
			outcomes[index] = failure{err}
		}
	}
	given := make([]nereid_plugin_model.Outcome, len(outcomes))
	for index, outcome := range outcomes {
		given[index] = outcomeToHost(outcome)
	}
	return given
}

func executed(batch []*Request) []Outcome {
	if executor, whole := model.(Executor); whole {
		return executor.Execute(batch)
	}
	outcomes := make([]Outcome, len(batch))
	for index, request := range batch {
		err := guarded(func() (err error) {
			outcomes[index], err = model.Answer(request)
			return err
		})
		if err != nil {
			outcomes[index] = failure{err}
		}
	}
	return outcomes
}

func outcomeToHost(outcome Outcome) (given nereid_plugin_model.Outcome) {
	err := guarded(func() (err error) {
		given, err = converted(outcome)
		return err
	})
	if err != nil {
		return nereid_plugin_model.MakeOutcomeFailure(errorToHost(err))
	}
	return given
}

func converted(outcome Outcome) (nereid_plugin_model.Outcome, error) {
	switch outcome := outcome.(type) {
	case failure:
		return nereid_plugin_model.MakeOutcomeFailure(errorToHost(outcome.err)), nil
	case deferred:
		return nereid_plugin_model.MakeOutcomeDeferred(), nil
	case Reschedule:
		states, err := Tensors(outcome).named()
		hand(states)
		return nereid_plugin_model.MakeOutcomeReschedule(states), err
	}
	response, _ := outcome.(*Response)
	answer, err := response.toHost()
	if err == nil {
		hand(answer.Outputs)
	}
	return nereid_plugin_model.MakeOutcomeAnswer(answer), err
}

func finalise() {
	defer runtime.EndCall()
	if finaliser, has := model.(Finaliser); has {
		_ = guarded(func() error {
			finaliser.Finalise()
			return nil
		})
	}
}
