// What the service says: `{"results": [{"flagged": false, "category_scores": {"hate": 0.01, …}}, …]}`, as OpenAI's moderation endpoint has
// it and others copy it.

/// What is wrong with an answer.
export class Malformed extends Error {}

/// A verdict for each text: whether it is flagged, and the highest score of any category.
export function verdicts(answer, count) {
  const results = answer?.results;
  if (!Array.isArray(results) || results.length !== count) {
    throw new Malformed(`expected ${count} results, found ${Array.isArray(results) ? results.length : typeof results}`);
  }
  return results.map(({ flagged, category_scores: scores }, row) => {
    const highest = Math.max(...Object.values(scores ?? {}));
    if (typeof flagged !== "boolean" || !Number.isFinite(highest)) {
      throw new Malformed(`result ${row} has no flagged and category_scores`);
    }
    return { flagged, score: highest };
  });
}
