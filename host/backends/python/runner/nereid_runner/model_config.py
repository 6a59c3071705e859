"""`auto_complete_config`: what a model may add to its configuration, and what contradicts it."""

import json

INPUT_PROPERTIES = ("name", "data_type", "dims", "optional")
OUTPUT_PROPERTIES = ("name", "data_type", "dims")
SCHEDULERS = ("sequence_batching", "ensemble_scheduling")


class ModelConfig:
    """The configuration as a model sees it while it completes it."""

    def __init__(self, model_config: str):
        self._model_config = json.loads(model_config)

    def as_dict(self) -> dict:
        return self._model_config

    def _name(self) -> str:
        return self._model_config["name"]

    def set_max_batch_size(self, max_batch_size: int):
        written = self._model_config["max_batch_size"]
        if written > max_batch_size:
            raise ValueError(
                f"configuration specified max_batch_size {written}, but in auto-complete-config function for model "
                f"'{self._name()}' specified max_batch_size {max_batch_size}"
            )
        self._model_config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self):
        for scheduler in SCHEDULERS:
            if scheduler in self._model_config:
                raise ValueError(
                    f"Configuration specified scheduling_choice as '{scheduler}', but auto-complete-config function for "
                    f"model '{self._name()}' tries to set scheduling_choice as 'dynamic_batching'"
                )
        self._model_config.setdefault("dynamic_batching", {})

    def set_model_transaction_policy(self, transaction_policy_dict: dict):
        if set(transaction_policy_dict) - {"decoupled"}:
            raise ValueError(
                f"model transaction property in auto-complete-config function for model '{self._name()}' contains property "
                "other than 'decoupled'."
            )
        policy = self._model_config.setdefault("model_transaction_policy", {})
        if "decoupled" not in transaction_policy_dict:
            return
        wanted = transaction_policy_dict["decoupled"]
        if policy.get("decoupled", wanted) != wanted:
            raise ValueError(
                f"trying to change decoupled property in auto-complete-config for model '{self._name()}', which is already "
                f"set to '{policy['decoupled']}'."
            )
        policy["decoupled"] = wanted

    def add_input(self, input: dict):
        self._add("input", input, INPUT_PROPERTIES)

    def add_output(self, output: dict):
        self._add("output", output, OUTPUT_PROPERTIES)

    def _add(self, kind: str, tensor: dict, properties: tuple):
        self._check_properties(kind, tensor, properties)
        for written in self._model_config[kind]:
            if written["name"] == tensor["name"]:
                self._check_agreement(kind, written, tensor)
                written.update(tensor)
                return
        self._model_config[kind].append(tensor)

    def _check_properties(self, kind: str, tensor: dict, properties: tuple):
        subject = f"{kind} '{tensor['name']}'" if "name" in tensor else kind
        where = f"{subject} in auto-complete-config function for model '{self._name()}'"
        if set(tensor) - set(properties):
            *first, last = (f"'{name}'" for name in properties)
            raise ValueError(f"{where} contains property other than {', '.join(first)} and {last}.")
        for name in OUTPUT_PROPERTIES:
            if name not in tensor:
                raise ValueError(f"{where} is missing '{name}' property.")

    def _check_agreement(self, kind: str, written: dict, tensor: dict):
        if written["data_type"] not in ("TYPE_INVALID", tensor["data_type"]):
            raise ValueError(
                f"unable to load model '{self._name()}', configuration expects datatype {written['data_type']} for {kind} "
                f"'{tensor['name']}', model provides {tensor['data_type']}"
            )
        whose = f"model '{self._name()}', tensor '{tensor['name']}': the model expects"
        if written["dims"] and list(written["dims"]) != list(tensor["dims"]):
            raise ValueError(
                f"{whose} dims {tensor['dims']} but the model configuration specifies dims {written['dims']}"
            )
        # What is not written is shown as false, and is no contradiction.
        if written.get("optional") and not tensor.get("optional", True):
            raise ValueError(
                f"{whose} optional {tensor['optional']} but the model configuration specifies optional {written['optional']}"
            )
