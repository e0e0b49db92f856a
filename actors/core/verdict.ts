/**
 * What became of a click. The numbers are the wire's (proto/adtally/v1/common.proto) and
 * ClickHouse's (Enum8 of clicks_raw): add, never renumber.
 */
export const Verdict = {
  UNDECIDED: 0,
  ACCEPTED: 1,
  DUPLICATE: 2,
  /** Kept and reported, not billed. */
  INVALID_TRAFFIC: 3,
  /** Dead-lettered: the client sent it too long after the click. */
  LATE: 4,
  /** Dead-lettered: the token or click id outlived its life. */
  EXPIRED: 5,
  BAD_SIGNATURE: 6,
  UNKNOWN_AD: 7,
  /** Durable in the spill; its verdict comes later. */
  DEFERRED: 8,
  /** Malformed or unroutable input, refused by its reason; nothing is kept but what a shard refused. */
  REFUSED: 9,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Of a shard's verdicts: not counted, and kept for a person who may know better. */
export function isDeadLetter(verdict: number): boolean {
  return verdict === Verdict.LATE || verdict === Verdict.EXPIRED || verdict === Verdict.REFUSED;
}

export const Reason = {
  NONE: 0,
  REPLAYED_DEAD_LETTER: 1,
  CLICK_TIME_TOO_OLD: 10,
  TOKEN_EXPIRED: 20,
  CLICK_ID_EXPIRED: 21,
  /** The pipeline held it longer than ids are remembered: dead-lettered rather than guessed. */
  HELD_PAST_RETENTION: 22,
  TOKEN_MALFORMED: 40,
  TOKEN_NOT_CANONICAL: 41,
  TOKEN_VERSION_UNKNOWN: 42,
  TOKEN_KEY_UNKNOWN: 43,
  TOKEN_MAC_MISMATCH: 44,
  AD_NOT_IN_CATALOGUE: 50,
  CLICK_ID_MISSING: 60,
  CLICK_ID_NOT_UUIDV7: 61,
  CLICK_TIME_IN_FUTURE: 62,
  CLICK_BEFORE_IMPRESSION: 63,
  GENERATION_UNKNOWN: 64,
  ROUTING_TABLE_STALE: 65,
  AD_ID_MISSING: 66,
  TOKEN_AND_CLICK_ID: 67,
  CLIENT_NOT_TRUSTED: 68,
  IMPRESSION_IN_FUTURE: 69,
  IP_MALFORMED: 70,
  /** Its gateway's clock runs ahead of its shard's, or the shard's behind: dead-lettered rather than guessed. */
  RECEIVED_IN_FUTURE: 71,
  /** Most actor hosts' clocks say that the gateway's is wrong. */
  GATEWAY_CLOCK_OFF: 72,
} as const;
export type Reason = (typeof Reason)[keyof typeof Reason];

/** Where a click came from. */
export const Source = { HTTP: 1, GRPC_TOKEN: 2, GRPC_CLICK_ID: 3 } as const;
export type Source = (typeof Source)[keyof typeof Source];

const nameOf = (table: Readonly<Record<string, number>>) => {
  const names = new Map(Object.entries(table).map(([name, code]) => [code, name]));
  return (code: number): string => names.get(code) ?? `UNKNOWN_${code}`;
};
export const verdictName = nameOf(Verdict);
export const reasonName = nameOf(Reason);
export const sourceName = nameOf(Source);
