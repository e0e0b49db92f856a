/**
 * Whether this gateway's clock is wrong, by the clocks of the actor hosts that it speaks with. A
 * gateway an hour behind would count clicks in minutes long past, and nobody after it could tell.
 *
 * It is wrong where it differs from more than half of them by more than clocks may differ. One
 * host that is wrong itself is outvoted, and one alone is believed: refusing is what can be mended.
 */
import type { Limits } from "../../actors/core/limits.ts";
import type { Clock, Timer } from "../../actors/runtime/clock.ts";
import type { Logger } from "../../actors/runtime/log.ts";

/** Few clicks can be stamped wrongly before a step is seen. */
const LOOK_MS = 100;

export interface ClockWatchDeps {
  readonly hosts: () => readonly { readonly host: string; readonly clockLeadMs: number | undefined }[];
  readonly limits: Pick<Limits, "clockSkewMs">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ClockWatch {
  readonly isOff: boolean;
  /** For /readyz. */
  readonly faults: readonly string[];
  close(): void;
}

export function watchClock({ hosts, limits, clock, logger }: ClockWatchDeps): ClockWatch {
  let fault: string | undefined;

  function look(): void {
    const before = fault;
    fault = faultOf();
    if (fault !== undefined && before === undefined) logger.error({ fault }, "no click is taken");
    if (fault === undefined && before !== undefined) logger.info({}, "this machine's clock is right again");
  }

  function faultOf(): string | undefined {
    const told = hosts().filter(({ clockLeadMs }) => clockLeadMs !== undefined);
    const differing = told.filter(({ clockLeadMs }) => Math.abs(clockLeadMs!) > limits.clockSkewMs);
    if (2 * differing.length <= told.length) return undefined;
    const shown = differing.map(({ host, clockLeadMs }) => {
      const seconds = Math.round(Math.abs(clockLeadMs!) / 1_000);
      return `${seconds} s ${clockLeadMs! > 0 ? "ahead of" : "behind"} ${host}'s`;
    });
    return `this machine's clock is ${shown.join(", ")}: set it right (NTP)`;
  }

  const timer: Timer = clock.every(LOOK_MS, look);
  return {
    get isOff() {
      return fault !== undefined;
    },
    get faults() {
      return fault === undefined ? [] : [fault];
    },
    close: () => timer.cancel(),
  };
}
