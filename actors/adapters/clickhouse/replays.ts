/**
 * What became of dead letters' impressions, from the raw table: the listing of letters asks, so
 * that a person sees which were replayed, and which no replay could count any more.
 *
 *  Y1 What it says may lag by the second that rows take; it decides nothing.
 */
import type { ClickHouse } from "./client.ts";
import { DATABASE } from "./migrations.ts";

export interface Fate {
  /** A replay of the letter is in the log, whatever it came to. */
  readonly replayed: boolean;
  /** A click on the impression was counted, by a replay or otherwise. */
  readonly counted: boolean;
}

export interface ReplayRecord {
  /** By impression id; one that the table does not know has no entry. @throws COUNT_SINK_UNAVAILABLE */
  fatesOf(letters: readonly LetterKey[]): Promise<ReadonlyMap<string, Fate>>;
}

export interface LetterKey {
  /** As formatUuid writes it. */
  readonly impressionId: string;
  readonly adId: bigint;
  readonly campaignId: bigint;
  readonly advertiserId: bigint;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function createReplayRecord(clickhouse: Pick<ClickHouse, "rows">): ReplayRecord {
  return {
    async fatesOf(letters) {
      // In the statement, not as parameters: a page of a thousand would not fit into a URL. The order
      // key's columns make it read the letters' own rows.
      const keys = letters
        .filter(({ impressionId }) => UUID.test(impressionId))
        .map((each) => `(${each.advertiserId},${each.campaignId},${each.adId},'${each.impressionId}')`);
      if (keys.length === 0) return new Map();
      const rows = await clickhouse.rows<{ id: string; replays: string; counted: string }>(
        `SELECT impression_id AS id, countIf(reason = 'REPLAYED_DEAD_LETTER') AS replays,
                countIf(verdict IN ('ACCEPTED', 'INVALID_TRAFFIC')) AS counted
         FROM ${DATABASE}.clicks_raw
         WHERE (advertiser_id, campaign_id, ad_id, impression_id) IN (${keys.join(",")})
         GROUP BY impression_id`,
      );
      return new Map(
        rows.map(({ id, replays, counted }) => [
          id,
          { replayed: Number(replays) > 0, counted: Number(counted) > 0 },
        ]),
      );
    },
  };
}
