/**
 * Every limit and default of the click path, in one place. Units stand last in the names.
 * `assertLimits` holds the relations between them; each program calls it at start.
 */
import { AdtallyError } from "./errors.ts";
import { DEFAULT_LIVE_LIMITS, LIVE_RELATIONS, type LiveLimits } from "./live-limits.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const MIB = 1024 * 1024;

export interface Limits extends LiveLimits {
  /** How long after its impression a token (or an SDK's click id) can count. */
  readonly tokenLifeMs: number;
  /** A click whose own time lies further behind its receipt than this is LATE. */
  readonly allowedLatenessMs: number;
  /** How far ahead of the gateway's clock a client's clock may run. */
  readonly clockSkewMs: number;
  /** How long a shard remembers a counted id, by the id's own timestamp. */
  readonly dedupRetentionMs: number;
  /** Width of one dedup time slice: expiry drops a slice whole. */
  readonly dedupSliceMs: number;
  readonly bloomFalsePositiveRate: number;
  /** Ids held in memory by a shard before they are written to its store as one run. */
  readonly dedupRunIds: number;
  /** The longest a shard's state may go unsaved while clicks come: bounds the replay by time. */
  readonly stateSaveIntervalMs: number;
  /** How long a window can still change, by the window's own minute. */
  readonly windowRetentionMs: number;
  /** Windows older than this behind the watermark leave memory (their store copy stays). */
  readonly windowMemoryMs: number;
  /**
   * Windows behind the watermark that a shard keeps in memory after a save, some 60 bytes each; at
   * twice as many a save is due. Past it the oldest leave, also while ClickHouse lacks them.
   */
  readonly windowMemoryMaxRows: number;
  /** Counts leave for ClickHouse this often; well under the second that an advertiser may wait. */
  readonly countFlushIntervalMs: number;
  /** Windows in one insert, about 50 bytes each; a larger backlog goes out in turns. */
  readonly countFlushMaxRows: number;
  /** Raw rows leave for ClickHouse this often (embedded form). */
  readonly rawIngestIntervalMs: number;
  readonly rawIngestMaxBytes: number;
  /** New generations are published at least this long before the time they take force. */
  readonly routingLeadMs: number;
  /** How late a reader may see what was published: nothing where it reads the document itself. */
  readonly routingLagMs: number;
  readonly logRetentionMs: number;
  readonly logSegmentBytes: number;
  /** Bytes that may wait for one group commit of the embedded log. */
  readonly logQueueMaxBytes: number;
  /** A block's size at the most; a Kafka broker's default record limit is 1 MiB. */
  readonly blockMaxRows: number;
  readonly blockMaxBytes: number;
  /** Clicks that may wait in one shard's mailbox. */
  readonly mailboxMaxClicks: number;
  readonly submitDeadlineMs: number;
  readonly appendDeadlineMs: number;
  /** An HTTP click whose shard has not answered by then goes to the spill. */
  readonly spillAfterMs: number;
  /** The same for a gRPC click: long enough for a shard to move, short enough that clients do not pile up. */
  readonly spillPatientAfterMs: number;
  /** The spill topic has so long to take a click before the gateway's own disk does. */
  readonly spillDeadlineMs: number;
  /** When a client may try again whose click nothing could keep: the spool was full, or broken. */
  readonly spoolRetryAfterMs: number;
  /** A quiet shard looks this often whether another owner wrote to its partition. */
  readonly followIntervalMs: number;
  readonly overloadRetryAfterMs: number;
  /** Clicks in one public gRPC batch. */
  readonly batchMaxClicks: number;
  /** Batches of one StreamClicks call that may be under way at once. */
  readonly streamWindowBatches: number;
  readonly grpcMessageMaxBytes: number;
  /** Bytes of all click messages that a gateway's gRPC server has under way at once. */
  readonly grpcInFlightMaxBytes: number;
  /** Calls that one gRPC connection may have open at once. */
  readonly grpcMaxStreamsPerConnection: number;
  /** StreamClicks calls that a gateway has open at once. */
  readonly grpcMaxClickStreams: number;
  readonly grpcKeepaliveTimeMs: number;
  readonly grpcKeepaliveTimeoutMs: number;
  readonly userAgentMaxBytes: number;
  readonly httpBodyMaxBytes: number;
  readonly httpImportLineMaxBytes: number;
  readonly httpHeadersTimeoutMs: number;
  readonly httpRequestTimeoutMs: number;
  /** HTTP clicks waiting for their verdict; past it a click is answered 503. */
  readonly httpMaxWaitingClicks: number;
  /** HTTP clicks that are handed to the shards in one go, at the most. */
  readonly httpGatherMaxClicks: number;
  /** How long an HTTP click waits for others, to be handed on with them; … */
  readonly httpGatherMs: number;
  /** … and how many together wait no longer than their turn takes. */
  readonly httpGatherEnoughClicks: number;
  readonly httpMaxConnections: number;
  readonly httpHeaderMaxBytes: number;
  readonly httpKeepAliveMs: number;
  /** How long a server that drains waits for requests already on their way in open connections. */
  readonly httpIdleGraceMs: number;
  /** How long a gateway waits for the catalogue before it answers that it is unavailable. */
  readonly catalogueDeadlineMs: number;
  /** A replica of a keyed log looks this often for what others wrote. */
  readonly replicaFollowIntervalMs: number;
  /** Looked this often for hours that can be rolled up. */
  readonly rollupIntervalMs: number;
  /** Changed ads leave for ClickHouse this often, at most so many at once. */
  readonly adsProjectIntervalMs: number;
  readonly adsProjectBatchAds: number;
  /** First and longest wait before a broken stream to an actor host is opened again. */
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  /** How long a caller waits for Redis: for the connection and the answer together. */
  readonly redisDeadlineMs: number;
  /** A shared document is read again this often, also without a notice of its change. */
  readonly sharedStateRereadMs: number;
  /** Bytes of messages and counts that may wait for the bus; past it they are dropped. */
  readonly busPendingMaxBytes: number;
  /** How long a stream to an actor host may take to open. */
  readonly shardConnectDeadlineMs: number;
  /** How soon a connection to an actor host that went silent is found out: a ping, and the wait for its answer. */
  readonly shardKeepaliveTimeMs: number;
  readonly shardKeepaliveTimeoutMs: number;
  /** How long a shard's former owner may still answer what it has, before the new one is asked too. */
  readonly shardMoveGraceMs: number;
  /** How long a shard's former owner goes on serving at the most while its next one gets ready. */
  readonly shardHandOverMs: number;
  /** It looks this often whether the next owner has written, … */
  readonly shardHandOverLookMs: number;
  /** … and lets go sooner where it was asked nothing for so long: no click then waits for anybody. */
  readonly shardHandOverQuietMs: number;
  /** A gateway asks for a fresh assignment this often at the most. */
  readonly assignmentRefreshMinMs: number;
  /** How soon a certificate file that was replaced is taken up. */
  readonly certificatePollMs: number;
  /** A certificate that has less left than this is named in the log; one of a short life when a third is left. */
  readonly certificateWarnMs: number;
  readonly certificateWarnIntervalMs: number;
  readonly impressionsMaxCount: number;
  readonly destinationMaxBytes: number;
  readonly adTitleMaxBytes: number;
  /** Intervals of one report: a week of minutes. */
  readonly reportMaxPoints: number;
  /** Rows that one report may come to, all pages together: groups times intervals. */
  readonly reportMaxRows: number;
  /** Ids of one kind that a report may name. */
  readonly reportMaxIds: number;
  /** Groups that a report may ask the best of. */
  readonly reportMaxTop: number;
  /** Rows of one page, where the caller says nothing, and at the most. */
  readonly reportPageRows: number;
  readonly reportPageMaxRows: number;
  /** Calls that a key may make in `keyWindowMs` at one program, by the scope that they need. */
  readonly keyWindowMs: number;
  readonly keyAdminCallsPerWindow: number;
  readonly keyPlacementCallsPerWindow: number;
  /** Batches and single clicks. */
  readonly keySubmitCallsPerWindow: number;
  readonly keyReadCallsPerWindow: number;
  /** When a key was last used is written this often at the most. */
  readonly keyUseIntervalMs: number;
  /** A stream that is open asks this often whether its key still stands. */
  readonly keyRecheckMs: number;
  /** Advertisers that one key may name. */
  readonly keyMaxAdvertisers: number;
  /** The audit log's files in a data folder, and the size of each. */
  readonly auditFiles: number;
  readonly auditFileMaxBytes: number;
  /** Lines that may wait for the disk; without a folder, lines that are kept. */
  readonly auditPendingMaxLines: number;
  /** The same refusal of the same caller is one line in so long. */
  readonly auditRepeatMs: number;
  readonly auditPageMaxEntries: number;
  /** How long a shared report's link may be valid at the most, and where nothing is said. */
  readonly shareMaxLifeMs: number;
  readonly shareLifeMs: number;
  /** Bytes of a shared report's question, and so of its link. */
  readonly shareQueryMaxBytes: number;
  /** Rows of the raw table that explain one click: the first ones, when it was sent more often. */
  readonly explainMaxRows: number;
  readonly catalogueCacheAds: number;
  /** Ads that an import writes (and syncs) at once: bounds how long it holds the event loop. */
  readonly importBatchAds: number;
  /** Bad lines that an import names in its last line; all are counted. */
  readonly importMaxErrors: number;
  readonly importProgressIntervalMs: number;
  readonly maxShards: number;
  readonly drainDeadlineMs: number;
  /** How long a program that stops waits for ClickHouse to take what is left: the next start sends it. */
  readonly sinkDrainDeadlineMs: number;
  /** How long a shard that begins waits to hear what ClickHouse was told of it: later it is held against the log at the first flush. */
  readonly sinkMeetDeadlineMs: number;
}

/**
 * How long ahead a generation is published: what a table needs to answer at all (the relation below),
 * and the skew once more, in which everybody must have read it again.
 */
export const routingLeadOf = (clockSkewMs: number, routingLagMs: number): number =>
  3 * clockSkewMs + routingLagMs;

export const DEFAULT_LIMITS: Limits = {
  ...DEFAULT_LIVE_LIMITS,
  tokenLifeMs: 2 * HOUR_MS,
  allowedLatenessMs: 5 * MINUTE_MS,
  clockSkewMs: MINUTE_MS,
  dedupRetentionMs: 2 * HOUR_MS + 30 * MINUTE_MS,
  dedupSliceMs: 5 * MINUTE_MS,
  bloomFalsePositiveRate: 0.01,
  dedupRunIds: 131_072,
  stateSaveIntervalMs: 30 * SECOND_MS,
  windowRetentionMs: 3 * HOUR_MS,
  windowMemoryMs: 5 * MINUTE_MS,
  windowMemoryMaxRows: 524_288,
  countFlushIntervalMs: 400,
  countFlushMaxRows: 250_000,
  rawIngestIntervalMs: 700,
  rawIngestMaxBytes: 64 * MIB,
  routingLeadMs: 3 * MINUTE_MS,
  routingLagMs: 0,
  logRetentionMs: 7 * 24 * HOUR_MS,
  logSegmentBytes: 128 * MIB,
  logQueueMaxBytes: 64 * MIB,
  blockMaxRows: 8_192,
  blockMaxBytes: 960 * 1024,
  mailboxMaxClicks: 65_536,
  submitDeadlineMs: 10 * SECOND_MS,
  appendDeadlineMs: 5 * SECOND_MS,
  spillAfterMs: 250,
  spillPatientAfterMs: 3 * SECOND_MS,
  spillDeadlineMs: 500,
  spoolRetryAfterMs: 5 * SECOND_MS,
  followIntervalMs: 5 * SECOND_MS,
  overloadRetryAfterMs: 200,
  batchMaxClicks: 5_000,
  streamWindowBatches: 16,
  grpcMessageMaxBytes: 4 * MIB,
  grpcInFlightMaxBytes: 128 * MIB,
  grpcMaxStreamsPerConnection: 256,
  grpcMaxClickStreams: 256,
  grpcKeepaliveTimeMs: 30 * SECOND_MS,
  grpcKeepaliveTimeoutMs: 10 * SECOND_MS,
  userAgentMaxBytes: 255,
  httpBodyMaxBytes: MIB,
  httpImportLineMaxBytes: 16 * 1024,
  httpHeadersTimeoutMs: 10 * SECOND_MS,
  httpRequestTimeoutMs: 30 * SECOND_MS,
  httpMaxWaitingClicks: 20_000,
  httpGatherMaxClicks: 1_024,
  httpGatherMs: 3,
  httpGatherEnoughClicks: 32,
  httpMaxConnections: 20_000,
  httpHeaderMaxBytes: 16 * 1024,
  httpKeepAliveMs: 75 * SECOND_MS,
  httpIdleGraceMs: 500,
  catalogueDeadlineMs: 2 * SECOND_MS,
  replicaFollowIntervalMs: 200,
  rollupIntervalMs: 10 * SECOND_MS,
  adsProjectIntervalMs: SECOND_MS,
  adsProjectBatchAds: 10_000,
  reconnectMinMs: 100,
  reconnectMaxMs: SECOND_MS,
  redisDeadlineMs: SECOND_MS,
  sharedStateRereadMs: 5 * SECOND_MS,
  busPendingMaxBytes: 4 * MIB,
  shardConnectDeadlineMs: 2 * SECOND_MS,
  shardKeepaliveTimeMs: 2 * SECOND_MS,
  shardKeepaliveTimeoutMs: 3 * SECOND_MS,
  shardMoveGraceMs: 500,
  shardHandOverMs: 30 * SECOND_MS,
  shardHandOverLookMs: 50,
  shardHandOverQuietMs: 2 * SECOND_MS,
  assignmentRefreshMinMs: 200,
  certificatePollMs: 10 * SECOND_MS,
  certificateWarnMs: 14 * 24 * HOUR_MS,
  certificateWarnIntervalMs: 6 * HOUR_MS,
  impressionsMaxCount: 10_000,
  destinationMaxBytes: 2_048,
  adTitleMaxBytes: 512,
  reportMaxPoints: 10_080,
  reportMaxRows: 100_000,
  reportMaxIds: 1_000,
  reportMaxTop: 1_000,
  reportPageRows: 1_000,
  reportPageMaxRows: 10_080,
  keyWindowMs: 10 * SECOND_MS,
  keyAdminCallsPerWindow: 5_000,
  keyPlacementCallsPerWindow: 50_000,
  keySubmitCallsPerWindow: 200_000,
  keyReadCallsPerWindow: 5_000,
  keyUseIntervalMs: MINUTE_MS,
  keyRecheckMs: 5 * SECOND_MS,
  keyMaxAdvertisers: 1_000,
  auditFiles: 4,
  auditFileMaxBytes: 4 * MIB,
  auditPendingMaxLines: 1_000,
  auditRepeatMs: 10 * SECOND_MS,
  auditPageMaxEntries: 1_000,
  shareMaxLifeMs: 90 * 24 * HOUR_MS,
  shareLifeMs: 7 * 24 * HOUR_MS,
  shareQueryMaxBytes: 1_024,
  explainMaxRows: 1_000,
  catalogueCacheAds: 200_000,
  importBatchAds: 512,
  importMaxErrors: 100,
  importProgressIntervalMs: SECOND_MS,
  maxShards: 4_096,
  drainDeadlineMs: 20 * SECOND_MS,
  sinkDrainDeadlineMs: 5 * SECOND_MS,
  sinkMeetDeadlineMs: 500,
};

/** Each relation with the promise that breaks without it. Exported so that a test can list them. */
export const RELATIONS: readonly (readonly [string, (l: Limits) => boolean])[] = [
  [
    "dedupRetentionMs ≥ tokenLifeMs + allowedLatenessMs + clockSkewMs (else a live token could count twice)",
    (l) => l.dedupRetentionMs >= l.tokenLifeMs + l.allowedLatenessMs + l.clockSkewMs,
  ],
  [
    "windowRetentionMs ≥ dedupRetentionMs + clockSkewMs + one minute (else a countable click finds its window gone)",
    (l) => l.windowRetentionMs >= l.dedupRetentionMs + l.clockSkewMs + MINUTE_MS,
  ],
  [
    "windowRetentionMs ≥ three hours (else an hour is rolled up that a shard's last counts may not have marked)",
    (l) => l.windowRetentionMs >= 3 * HOUR_MS,
  ],
  [
    "windowMemoryMaxRows ≥ dedupRunIds (else what gathers between two saves is past the bound by itself)",
    (l) => l.windowMemoryMaxRows >= l.dedupRunIds,
  ],
  [
    "logRetentionMs ≥ 2 × dedupRetentionMs (else a lost store cannot be rebuilt from the log)",
    (l) => l.logRetentionMs >= 2 * l.dedupRetentionMs,
  ],
  [
    "routingLeadMs > 2 × clockSkewMs + routingLagMs (else an id of a fast clock is routed by two generations, or never)",
    (l) => l.routingLeadMs > 2 * l.clockSkewMs + l.routingLagMs,
  ],
  [
    "countFlushIntervalMs ≤ 500 (else a click is not queryable within the second)",
    (l) => l.countFlushIntervalMs <= 500,
  ],
  [
    "submitDeadlineMs > appendDeadlineMs (else a caller gives up while its click may still be counted)",
    (l) => l.submitDeadlineMs > l.appendDeadlineMs,
  ],
  [
    "submitDeadlineMs > shardKeepaliveTimeMs + shardKeepaliveTimeoutMs (else no time is left to submit again once a silent connection is found out)",
    (l) => l.submitDeadlineMs > l.shardKeepaliveTimeMs + l.shardKeepaliveTimeoutMs,
  ],
  [
    "shardHandOverMs > shardHandOverQuietMs > shardHandOverLookMs (else a shard is let go before anybody looked who clicks)",
    (l) => l.shardHandOverMs > l.shardHandOverQuietMs && l.shardHandOverQuietMs > l.shardHandOverLookMs,
  ],
  [
    "mailboxMaxClicks ≥ batchMaxClicks (else the largest batch never fits)",
    (l) => l.mailboxMaxClicks >= l.batchMaxClicks,
  ],
  [
    "logQueueMaxBytes ≥ 4 × blockMaxBytes (else shards starve one another in a group commit)",
    (l) => l.logQueueMaxBytes >= 4 * l.blockMaxBytes,
  ],
  ...LIVE_RELATIONS,
  ["blockMaxBytes < 1 MiB (a broker's default record limit)", (l) => l.blockMaxBytes < MIB],
  [
    "keyRecheckMs + replicaFollowIntervalMs < one minute (else a revoked key goes on for longer)",
    (l) => l.keyRecheckMs + l.replicaFollowIntervalMs < MINUTE_MS,
  ],
  ["userAgentMaxBytes ≤ 16383 (two length bytes in a row)", (l) => l.userAgentMaxBytes <= 16_383],
  ["0 < bloomFalsePositiveRate < 0.5", (l) => l.bloomFalsePositiveRate > 0 && l.bloomFalsePositiveRate < 0.5],
  ["dedupSliceMs divides into whole minutes", (l) => l.dedupSliceMs > 0 && l.dedupSliceMs % MINUTE_MS === 0],
];

/** Throws LIMITS_INCONSISTENT with the name of the relation that does not hold. */
export function assertLimits(limits: Limits): void {
  for (const [name, holds] of RELATIONS) {
    if (!holds(limits)) throw new AdtallyError("LIMITS_INCONSISTENT", `limits: ${name} does not hold`);
  }
}
