/** SDKs: a tenth of the clicks one by one (SubmitClick), the rest in batches on streams (StreamClicks). */
import { streamClicks, submitClick } from "./lib/sdk.ts";
import {
  durationSeconds,
  iteration,
  load,
  offered,
  rate,
  token,
  warmUp,
  warmUpClicks,
} from "./lib/traffic.ts";

export { handleSummary } from "./lib/traffic.ts";

const BATCH = 100;
const BATCHES_A_STREAM = 5;
const perStream = BATCH * BATCHES_A_STREAM;
const unary = Math.max(1, Math.round(rate / 10));
const streams = (rate - unary) / perStream;

const warm = warmUpClicks(unary);
const firstStreamed = warm + unary * durationSeconds + unary;

export const options = offered(
  {
    warm_up: warmUp("warmUpClick", unary),
    unary: load("click", unary),
    streams: load("stream", streams),
  },
  ["unary", "streams"],
);

export function warmUpClick(): void {
  submitClick(token(iteration()));
}

export function click(): void {
  submitClick(token(warm + iteration()));
}

export function stream(): Promise<void> {
  const first = firstStreamed + iteration() * perStream;
  const tokens = Array.from({ length: perStream }, (_, i) => token(first + i));
  const batches = Array.from({ length: BATCHES_A_STREAM }, (_, i) =>
    tokens.slice(i * BATCH, (i + 1) * BATCH),
  );
  return streamClicks(batches);
}
