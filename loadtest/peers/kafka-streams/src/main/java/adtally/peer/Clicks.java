package adtally.peer;

import java.nio.ByteBuffer;
import java.util.Random;

/**
 * The clicks of the benchmark: record key = ad id (8 bytes), value = impression id (16 bytes),
 * click time (8 bytes, ms), IPv4 address (4 bytes) and a user agent: what adtally's raw rows hold.
 * A number and a seed give the same click always, so that a repeat needs no memory.
 */
final class Clicks {
  static final int ID_BYTES = 16;
  private static final byte[] USER_AGENT =
      "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"
          .getBytes(java.nio.charset.StandardCharsets.US_ASCII);

  private final int ads;
  private final double repeats;
  private final long firstMs;
  private final Random random;
  private long next = 0;
  private long distinct = 0;

  Clicks(int ads, double repeats, long firstMs, long seed) {
    this.ads = ads;
    this.repeats = repeats;
    this.firstMs = firstMs;
    this.random = new Random(seed);
  }

  /** Number of the impression that the next click is of: a new one, or one of the last 100,000. */
  long pick() {
    if (distinct > 0 && random.nextDouble() < repeats) {
      return distinct - 1 - random.nextInt((int) Math.min(distinct, 100_000));
    }
    return distinct++;
  }

  long distinct() {
    return distinct;
  }

  byte[] key(long impression) {
    return ByteBuffer.allocate(8).putLong(1_001 + mix(impression) % ads).array();
  }

  /** A hundred impressions a millisecond: 100,000 a second. */
  long timeMs(long impression) {
    return firstMs + impression / 100;
  }

  byte[] value(long impression) {
    ByteBuffer bytes = ByteBuffer.allocate(ID_BYTES + 8 + 4 + USER_AGENT.length);
    long timeMs = timeMs(impression);
    // A UUIDv7: the time, then bits that look random.
    bytes.putLong(timeMs << 16 | 0x7000 | mix(impression) & 0x0fff);
    bytes.putLong(0x8000_0000_0000_0000L | mix(impression + 0x5bd1_e995L) >>> 2);
    bytes.putLong(timeMs).putInt((int) mix(impression + 7)).put(USER_AGENT);
    return bytes.array();
  }

  /** splitmix64's finisher, made positive. */
  private static long mix(long x) {
    long z = (x + 1) * 0x9e3779b97f4a7c15L;
    z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
    z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
    return (z ^ z >>> 31) >>> 1;
  }
}
