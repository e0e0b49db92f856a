package adtally.peer;

import java.nio.ByteBuffer;
import java.time.Duration;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The same decisions as adtally's gateway and actor: is the token ours and alive, whose is the ad,
 * and is this the first click of its impression. Out comes the raw row with its verdict.
 */
final class Decide implements FixedKeyProcessor<byte[], byte[], byte[]> {
  private final TokenCheck tokens;
  private final Ads ads;
  private final long lifeMs;
  private FixedKeyProcessorContext<byte[], byte[]> context;
  private WindowStore<Bytes, byte[]> seen;

  Decide(byte[] key, Ads ads, Duration life) {
    this.tokens = new TokenCheck(key);
    this.ads = ads;
    this.lifeMs = life.toMillis();
  }

  @Override
  public void init(FixedKeyProcessorContext<byte[], byte[]> context) {
    this.context = context;
    this.seen = context.getStateStore(Count.SEEN);
  }

  @Override
  public void process(FixedKeyRecord<byte[], byte[]> record) {
    byte[] click = record.value();
    if (!tokens.isOurs(click)) return;
    long impressionMs = Click.impressionMs(click);
    if (record.timestamp() > impressionMs + lifeMs) return;
    Ads.Owner owner = ads.of(ByteBuffer.wrap(click).getLong(Click.AD_AT));
    if (owner == null) return;
    byte verdict = isFirst(seen, click, impressionMs) ? Rows.ACCEPTED : Rows.DUPLICATE;
    int shard = context.taskId().partition();
    context.forward(record.withValue(Rows.raw(click, owner, record.timestamp(), shard, verdict)));
  }

  /**
   * An id stands in the store under its own time, the impression's, so that one lookup of a point
   * finds it: a search over two hours for each click would cost several.
   */
  static boolean isFirst(WindowStore<Bytes, byte[]> seen, byte[] click, long impressionMs) {
    Bytes key = Bytes.wrap(Click.id(click));
    if (seen.fetch(key, impressionMs) != null) return false;
    seen.put(key, new byte[0], impressionMs);
    return true;
  }
}
