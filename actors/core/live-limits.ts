/** The limits of live counts and of the histories that they go over; part of Limits (limits.ts). */
const SECOND_MS = 1_000;

export interface LiveLimits {
  /** Newest messages of each channel's history that the bus keeps. */
  readonly busHistoryMaxMessages: number;
  /** A history on Redis is read on this often. */
  readonly busHistoryPollMs: number;
  /** A shard tells what it counted in spans of this length, which must divide a second, … */
  readonly liveSlotMs: number;
  /** … so long after their end (an append may be under way), … */
  readonly liveSlotLagMs: number;
  /** … the ads with most clicks by name, the rest by advertiser. */
  readonly liveSlotMaxAds: number;
  readonly liveSlotMaxAdvertisers: number;
  /** Spans that may wait for the bus, of one shard. */
  readonly liveMaxWaitingSlots: number;
  /** Spans of each shard that are kept after they were told, for a bus that loses its memory. */
  readonly liveKeptSlots: number;
  /** How far back live streams can be resumed by the second. */
  readonly liveHistoryMs: number;
  /** How far back they can be resumed at all: by the minutes of ClickHouse. */
  readonly liveMinutesMs: number;
  readonly liveMinutesDeadlineMs: number;
  /** Ads of a second that a server of live streams tells apart. */
  readonly liveSecondMaxAds: number;
  /** Ads in one event. */
  readonly liveEventMaxAds: number;
  /** A second is over so long after its end. */
  readonly liveSettleMs: number;
  /** What is counted waits so long for more before it is told. */
  readonly liveGatherMs: number;
  /** Live streams of one process. */
  readonly liveMaxClients: number;
  /** A client that takes nothing for so long is cut off. */
  readonly liveSlowClientMs: number;
}

export const DEFAULT_LIVE_LIMITS: LiveLimits = {
  busHistoryMaxMessages: 640,
  busHistoryPollMs: 150,
  liveSlotMs: 250,
  liveSlotLagMs: 30,
  liveSlotMaxAds: 128,
  liveSlotMaxAdvertisers: 512,
  liveMaxWaitingSlots: 512,
  liveKeptSlots: 40,
  liveHistoryMs: 120 * SECOND_MS,
  liveMinutesMs: 3_600 * SECOND_MS,
  liveMinutesDeadlineMs: 2 * SECOND_MS,
  liveSecondMaxAds: 1_024,
  liveEventMaxAds: 100,
  liveSettleMs: 1_500,
  liveGatherMs: 100,
  liveMaxClients: 1_000,
  liveSlowClientMs: 15 * SECOND_MS,
};

/** As RELATIONS of limits.ts. */
export const LIVE_RELATIONS: readonly (readonly [string, (l: LiveLimits) => boolean])[] = [
  [
    "busHistoryMaxMessages × liveSlotMs ≥ liveHistoryMs (else a restarted query service misses seconds of a busy shard)",
    (l) => l.busHistoryMaxMessages * l.liveSlotMs >= l.liveHistoryMs,
  ],
  ["liveSlotMs divides a second (else a slot is in two seconds)", (l) => SECOND_MS % l.liveSlotMs === 0],
];
