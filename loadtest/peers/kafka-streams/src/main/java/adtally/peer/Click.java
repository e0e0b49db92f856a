package adtally.peer;

import java.nio.ByteBuffer;

/**
 * A click on its way to the broker: record key = ad id (8 bytes), value = the token of 44 bytes
 * (actors/token/token.ts), an IPv4 address (4 bytes) and the user agent; its time is the record's.
 */
final class Click {
  static final int TOKEN_BYTES = 44;
  static final int GENERATION_AT = 2;
  static final int AD_AT = 4;
  static final int ID_AT = 12;
  static final int ID_BYTES = 16;
  static final int MAC_AT = 28;
  static final int IP_AT = TOKEN_BYTES;
  static final int AGENT_AT = TOKEN_BYTES + 4;

  private Click() {}

  /** The first 48 bits of a UUIDv7. */
  static long impressionMs(byte[] click) {
    return ByteBuffer.wrap(click).getLong(ID_AT) >>> 16;
  }

  static byte[] id(byte[] click) {
    return java.util.Arrays.copyOfRange(click, ID_AT, ID_AT + ID_BYTES);
  }
}
