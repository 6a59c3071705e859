// From a conversation to the one text that a model goes on with. Nothing here asks the host.
//
// A conversation is a list of messages with a `role` and a `content`, as chat APIs have it. Each is laid into its role's template, the
// oldest in front, and the ending behind the last. When that is longer than the model reads, the oldest messages go; what the system
// says and the last message stay.

export const ROLES = ["system", "user", "assistant"];

/// What is wrong with a conversation, in words for who sent it.
export class Refused extends Error {}

/// The messages in a JSON text.
export function parse(text) {
  let messages;
  try {
    messages = JSON.parse(text);
  } catch (error) {
    throw new Refused(`expected a list of messages as JSON: ${error.message}`);
  }
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new Refused("expected a list of at least one message");
  }
  messages.forEach(check);
  return messages;
}

function check(message, place) {
  if (!ROLES.includes(message?.role)) {
    throw new Refused(`message ${place} has role ${JSON.stringify(message?.role)}, expected one of ${ROLES.join(", ")}`);
  }
  if (typeof message.content !== "string") {
    throw new Refused(`message ${place} has content ${JSON.stringify(message.content)}, expected a text`);
  }
}

/// The prompt, and how many messages had to go. `templates` has a text for each role, in which `{content}` is replaced.
export function lay(messages, templates, ending, charactersMax) {
  const last = messages.length - 1;
  const pieces = messages.map(({ role, content }) => templates[role].replaceAll("{content}", () => content));
  const stays = messages.map(({ role }, place) => role === "system" || place === last);
  let length = ending.length + pieces.reduce((sum, piece) => sum + piece.length, 0);
  let dropped = 0;
  for (let place = 0; place < last && length > charactersMax; place += 1) {
    if (!stays[place]) {
      length -= pieces[place].length;
      pieces[place] = "";
      dropped += 1;
    }
  }
  if (length > charactersMax) {
    throw new Refused(`the last message and what the system says have ${length} characters, at most ${charactersMax} are read`);
  }
  return { prompt: pieces.join("") + ending, dropped };
}
