/**
 * What a live stream says, over SSE (`event:` is the kind, `data:` the rest, in JSON) and gRPC
 * (live.proto) alike. Each event states its span of time whole: the last one of a span holds, and
 * the sum over all spans is what was counted since the stream began, also across reconnects.
 *
 *   event: second   {"second":"2026-11-22T01:40:07Z","clicks_per_second":42,"ads":[{"ad_id":"1","campaign_id":"2",
 *                   "advertiser_id":"3","clicks":40}],"other_clicks":2,"over":true}
 *   event: minute   {"minute":"2026-11-22T01:37:00Z","until":"2026-11-22T01:38:00Z","clicks":7,"ads":[…],"other_clicks":0}
 *   event: end      {"code":"SLOW_CLIENT","detail":"…"}; connect again, with the last id
 *
 * A second comes while it runs, whenever clicks were added, and once more when it is over; one
 * without clicks comes when it is over. That is the heartbeat as well.
 */
export interface LiveAd {
  readonly ad_id: string;
  readonly campaign_id: string;
  readonly advertiser_id: string;
  readonly clicks: number;
}

export interface SecondEvent {
  readonly kind: "second";
  /** RFC 3339, when it began: by the clock of the actor host that counted. */
  readonly second: string;
  readonly clicks_per_second: number;
  /** Most clicks first, `liveEventMaxAds` at the most. */
  readonly ads: readonly LiveAd[];
  /** Of clicks_per_second, those of ads that are not listed. */
  readonly other_clicks: number;
  readonly over: boolean;
}

/** What lies before the seconds that are still known: a minute of the report, by the clicks' own times. */
export interface MinuteEvent {
  readonly kind: "minute";
  readonly minute: string;
  /** Exclusive: the minute's end, or where the seconds begin. */
  readonly until: string;
  readonly clicks: number;
  readonly ads: readonly LiveAd[];
  readonly other_clicks: number;
}

export const END_CODES = ["DRAINING", "SLOW_CLIENT", "ACCESS_ENDED"] as const;
export type EndCode = (typeof END_CODES)[number];

export interface EndEvent {
  readonly kind: "end";
  readonly code: EndCode;
  readonly detail: string;
}

export type LiveEvent = SecondEvent | MinuteEvent;
