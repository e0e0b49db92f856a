/**
 * Whether reports can be read: asks ClickHouse for each table that they need, again and again.
 * The programs that answer reports name its faults in their readiness.
 *
 *  H1 A table that is gone, or that the user may not read, is a fault by name with what to do.
 *  H2 A server that cannot be reached is none of these: reports say 503 by themselves meanwhile,
 *     and clicks are taken without it. `whenAway` names that too, for a program that only reports.
 */
import { isAdtallyError, messageOf } from "../../core/errors.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/log.ts";
import type { ClickHouse } from "./client.ts";
import { DATABASE, tablesLost } from "./migrations.ts";

export interface ReportTables {
  /** As of the last look; empty when all is well. */
  faults(): readonly string[];
  /** Looks now. Never rejects. */
  look(): Promise<void>;
  stop(): void;
}

export interface ReportTablesOptions {
  readonly clickhouse: Pick<ClickHouse, "rows">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly whenAway: boolean;
}

const LOOK_MS = 5_000;
const NEEDED = [
  "click_counts",
  "advertiser_counts_hourly",
  "rollup_hours",
  "shard_checkpoints",
  "clicks_raw",
  "ads",
];

export function watchReportTables(options: ReportTablesOptions): ReportTables {
  const { clickhouse, clock, logger, whenAway } = options;
  let faults: readonly string[] = [];
  let underWay: Promise<void> | undefined;

  async function faultsNow(): Promise<readonly string[]> {
    try {
      const found = await clickhouse.rows<{ name: string }>(
        `SELECT name FROM system.tables WHERE database = '${DATABASE}' AND name IN {needed:Array(String)}`,
        { needed: NEEDED },
      );
      const names = new Set(found.map(({ name }) => name));
      const lost = NEEDED.filter((name) => !names.has(name));
      return lost.length === 0 ? [] : [`reports: ${tablesLost(lost).message}`];
    } catch (error) {
      const isAway = !isAdtallyError(error, "COUNT_SINK_REJECTED");
      return isAway && !whenAway ? [] : [`reports: ${messageOf(error)}`];
    }
  }

  async function look(): Promise<void> {
    const now = await faultsNow();
    for (const fault of now) if (!faults.includes(fault)) logger.error({ fault }, "reports cannot be read");
    if (now.length === 0 && faults.length > 0) logger.warn({}, "reports can be read again");
    faults = now;
  }

  const lookOnce = () => {
    underWay ??= look().finally(() => (underWay = undefined));
    return underWay;
  };
  const timer = clock.every(LOOK_MS, () => void lookOnce());
  return { faults: () => faults, look: lookOnce, stop: () => timer.cancel() };
}
