/** Limits of the embedded server. Units stand last in the names. */
const MIB = 1024 * 1024;

export interface EngineLimits {
  /** Queries that run at once: one connection of the engine each. */
  readonly maxRunning: number;
  /** Queries that wait for a connection; past it TOO_MANY_SIMULTANEOUS_QUERIES. */
  readonly maxWaiting: number;
  /** A query's time, waiting included, unless its max_execution_time asks for less. */
  readonly queryDeadlineMs: number;
  /** How long past its deadline a query is given to notice by itself. */
  readonly deadlineGraceMs: number;
  /** A query's text (ClickHouse's max_query_size). */
  readonly maxQueryBytes: number;
  /** An INSERT's data, unpacked. */
  readonly maxBodyBytes: number;
  readonly maxResultBytes: number;
  readonly keepAliveMs: number;
  /** For a request to arrive whole. */
  readonly requestTimeoutMs: number;
  readonly maxSockets: number;
  readonly drainDeadlineMs: number;
  /** How long to wait for a killed predecessor to let go of the data folder. */
  readonly lockWaitMs: number;
}

export const defaultEngineLimits: EngineLimits = {
  maxRunning: 8,
  maxWaiting: 128,
  queryDeadlineMs: 30_000,
  deadlineGraceMs: 2_000,
  maxQueryBytes: 256 * 1024,
  maxBodyBytes: 512 * MIB,
  maxResultBytes: 256 * MIB,
  keepAliveMs: 30_000,
  requestTimeoutMs: 60_000,
  maxSockets: 512,
  drainDeadlineMs: 15_000,
  lockWaitMs: 5_000,
};
