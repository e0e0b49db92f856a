/**
 * How V8 collects garbage in a process through which clicks flow as Buffers. Called once by every
 * program, before anything else.
 *
 * A Buffer's bytes lie outside of V8's heap. By default each 64 MB of them begin a full collection,
 * which marks the whole heap to find that all Buffers had died young: at 100,000 clicks a second
 * several a second, and a third of the CPU time of a gateway or an actor host. Counted into the
 * heap's own limit instead, they leave with the young generation, which is all that is looked at.
 */
import { setFlagsFromString } from "node:v8";

/** Full collections come when heap and Buffers together have grown by this, as for the heap alone. */
const GROWTH_FACTOR = 4;

export function tuneCollector(): void {
  setFlagsFromString("--external-memory-accounted-in-global-limit");
  setFlagsFromString(`--external-memory-max-growing-factor=${GROWTH_FACTOR}`);
}
