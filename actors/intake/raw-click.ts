/**
 * One click as it came off the wire: positions in the bytes that carried it. The decoder of a
 * protocol fills one such record again and again, so that a click costs no object.
 */
export interface RawClick {
  bytes: Uint8Array;
  /** Length 0: no token. */
  tokenAt: number;
  tokenLength: number;
  /** Length 0: no click id. */
  clickIdAt: number;
  clickIdLength: number;
  /** With a click id: the ad. */
  adHigh: number;
  adLow: number;
  /** The user's own click time; 0: the click is as old as its receipt. */
  clickedAtMs: number;
  ipAt: number;
  ipLength: number;
  userAgentAt: number;
  userAgentLength: number;
  overHttp: boolean;
}

const NO_BYTES = new Uint8Array(0);

export function createRawClick(): RawClick {
  return {
    bytes: NO_BYTES,
    tokenAt: 0,
    tokenLength: 0,
    clickIdAt: 0,
    clickIdLength: 0,
    adHigh: 0,
    adLow: 0,
    clickedAtMs: 0,
    ipAt: 0,
    ipLength: 0,
    userAgentAt: 0,
    userAgentLength: 0,
    overHttp: false,
  };
}

/** Back to a click of which nothing is known, in `bytes`. */
export function resetRawClick(click: RawClick, bytes: Uint8Array): void {
  click.bytes = bytes;
  click.tokenAt = 0;
  click.tokenLength = 0;
  click.clickIdAt = 0;
  click.clickIdLength = 0;
  click.adHigh = 0;
  click.adLow = 0;
  click.clickedAtMs = 0;
  click.ipAt = 0;
  click.ipLength = 0;
  click.userAgentAt = 0;
  click.userAgentLength = 0;
  click.overHttp = false;
}
