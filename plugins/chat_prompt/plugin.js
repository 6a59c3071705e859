// A conversation in, the prompt for a model that goes on with text out.
//
// Input `messages`: BYTES `[1]`, JSON as chat APIs have it: `[{"role": "user", "content": "…"}, …]`. Output `prompt`: BYTES `[1]`. The
// answer's parameter `dropped_messages` says how many old ones had to go. `prompt.js` has the rules.
//
// Settings: `template_system`, `template_user`, `template_assistant` ("{content}" and a line end); `ending`, behind the last message;
// `characters_max` (8000). In settings, \n is a line end.

import { PluginError, Tensor, plugin, setting } from "nereid";

import { ROLES, Refused, lay, parse } from "./prompt.js";

class ChatPrompt {
  constructor() {
    const text = (key, fallback) => setting(key, fallback).replaceAll("\\n", "\n");
    this.templates = Object.fromEntries(ROLES.map((role) => [role, text(`template_${role}`, "{content}\n")]));
    this.ending = text("ending", "");
    this.charactersMax = setting("characters_max", 8000);
  }

  run(request, inputs) {
    const [text] = inputs.get("messages").texts();
    try {
      const { prompt, dropped } = lay(parse(text), this.templates, this.ending, this.charactersMax);
      return { outputs: { prompt: Tensor.fromBlobs([1], [prompt]) }, parameters: { dropped_messages: dropped } };
    } catch (error) {
      throw error instanceof Refused ? new PluginError("invalid-argument", `input 'messages': ${error.message}`) : error;
    }
  }
}

export const transform = plugin(ChatPrompt);
