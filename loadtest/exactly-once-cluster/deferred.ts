/** What gateways deferred, summed over their lives: what one defers between the last look and its death is missed. */
import type { Cluster } from "../../cmd/cluster/cluster.ts";
import { sumBy } from "../../cmd/cluster/samples.ts";
import { samplesOf } from "./state.ts";

export interface Deferred {
  look(): Promise<void>;
  readonly spilled: number;
  readonly spooled: number;
}

export function createDeferred({ gateways }: Cluster): Deferred {
  const lives = new Map<number, { readonly spilled: number; readonly spooled: number }>();
  const sum = (of: "spilled" | "spooled") => [...lives.values()].reduce((total, life) => total + life[of], 0);
  return {
    get spilled() {
      return sum("spilled");
    },
    get spooled() {
      return sum("spooled");
    },
    async look() {
      await Promise.all(
        gateways.map(async (gateway) => {
          const { pid } = gateway;
          const samples = await samplesOf(gateway).catch(() => []);
          if (pid === undefined || samples.length === 0) return;
          const to = sumBy(samples, "adtally_gateway_deferred_clicks", "to");
          lives.set(pid, { spilled: to.get("spill") ?? 0, spooled: to.get("spool") ?? 0 });
        }),
      );
    },
  };
}
