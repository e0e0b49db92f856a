package adtally.peer;

import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.WindowStore;

/** Lets the first click of an impression pass, and drops the others; believes whatever it is told. */
final class FirstOnly implements FixedKeyProcessor<byte[], byte[], byte[]> {
  private FixedKeyProcessorContext<byte[], byte[]> context;
  private WindowStore<Bytes, byte[]> seen;

  @Override
  public void init(FixedKeyProcessorContext<byte[], byte[]> context) {
    this.context = context;
    this.seen = context.getStateStore(Count.SEEN);
  }

  @Override
  public void process(FixedKeyRecord<byte[], byte[]> record) {
    byte[] click = record.value();
    if (Decide.isFirst(seen, click, Click.impressionMs(click))) context.forward(record);
  }
}
