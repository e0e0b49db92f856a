package adtally.peer;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Rows of ClickHouse's RowBinary, as actors/block/row.ts and actors/ports/count-sink.ts have them.
 * A raw row is encoded once, by whoever decides on the click, and sent on as it is.
 */
final class Rows {
  static final byte ACCEPTED = 1;
  static final byte DUPLICATE = 2;
  static final int VERDICT_AT = 77;
  static final int COUNT_BYTES = 50;
  private static final byte GRPC_TOKEN = 2;
  private static final int FIXED_BYTES = 87;

  private Rows() {}

  /** All columns of clicks_raw but the last, the offset: the sink knows it. */
  static byte[] raw(byte[] click, Ads.Owner owner, long timeMs, int shard, byte verdict) {
    int agent = click.length - Click.AGENT_AT;
    int lengthBytes = agent < 0x80 ? 1 : 2;
    ByteBuffer from = ByteBuffer.wrap(click);
    ByteBuffer row =
        ByteBuffer.allocate(FIXED_BYTES + lengthBytes + agent).order(ByteOrder.LITTLE_ENDIAN);
    row.putLong(from.getLong(Click.ID_AT)).putLong(from.getLong(Click.ID_AT + 8));
    row.putLong(from.getLong(Click.AD_AT)).putLong(owner.campaign()).putLong(owner.advertiser());
    row.putLong(timeMs).putLong(timeMs);
    // IPv4 in IPv6: ten zeros, ff ff, and the address.
    row.putLong(0).putInt(0xffff_0000).put(click, Click.IP_AT, 4);
    row.putShort(from.getShort(Click.GENERATION_AT)).putShort((short) shard);
    row.put(GRPC_TOKEN).put(verdict).put((byte) 0).putInt(0).putInt(0);
    if (lengthBytes == 1) row.put((byte) agent);
    else row.put((byte) (agent & 0x7f | 0x80)).put((byte) (agent >>> 7));
    return row.put(click, Click.AGENT_AT, agent).array();
  }

  static void count(
      ByteBuffer into, Ads.Owner owner, long ad, long minuteMs, int shard, ByteBuffer counts, long version) {
    into.putLong(owner.advertiser()).putLong(owner.campaign()).putLong(ad);
    into.putInt((int) (minuteMs / 1_000)).putShort((short) shard);
    into.putInt(counts.getInt(0)).putInt(0).putInt(counts.getInt(4)).putLong(version);
  }
}
