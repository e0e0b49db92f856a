package adtally.peer;

import java.security.MessageDigest;
import org.apache.commons.codec.digest.Blake3;

/** The token's MAC: keyed BLAKE3 over its first 28 bytes, as actors/token/token.ts has it. Of one thread. */
final class TokenCheck {
  private static final byte VERSION = 1;

  private final Blake3 hasher;
  private final byte[] expected = new byte[Click.TOKEN_BYTES - Click.MAC_AT];
  private final byte[] told = new byte[Click.TOKEN_BYTES - Click.MAC_AT];

  TokenCheck(byte[] key) {
    this.hasher = Blake3.initKeyedHash(key);
  }

  boolean isOurs(byte[] click) {
    if (click.length < Click.AGENT_AT || click[0] != VERSION) return false;
    hasher.reset().update(click, 0, Click.MAC_AT).doFinalize(expected);
    System.arraycopy(click, Click.MAC_AT, told, 0, told.length);
    return MessageDigest.isEqual(expected, told);
  }
}
