package adtally.peer;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.state.WindowStoreIterator;

/**
 * Exactly once by ad and minute in Kafka Streams: ids of the last two hours in a window store
 * (RocksDB, with its changelog topic), counts in another, the counts to a topic.
 */
public final class Count {
  private static final Duration RETENTION = Duration.ofHours(2);
  private static final Duration MINUTE = Duration.ofMinutes(1);
  private static final String SEEN = "seen";

  private Count() {}

  /** Lets the first click of an impression pass, and drops the others. */
  static final class FirstOnly implements FixedKeyProcessor<byte[], byte[], byte[]> {
    private FixedKeyProcessorContext<byte[], byte[]> context;
    private WindowStore<Bytes, byte[]> seen;

    @Override
    public void init(FixedKeyProcessorContext<byte[], byte[]> context) {
      this.context = context;
      this.seen = context.getStateStore(SEEN);
    }

    @Override
    public void process(FixedKeyRecord<byte[], byte[]> record) {
      byte[] id = new byte[Clicks.ID_BYTES];
      ByteBuffer.wrap(record.value()).get(id);
      Bytes key = Bytes.wrap(id);
      long timeMs = record.timestamp();
      long reach = RETENTION.toMillis();
      try (WindowStoreIterator<byte[]> earlier =
          seen.fetch(key, timeMs - reach, timeMs + reach)) {
        if (earlier.hasNext()) return;
      }
      seen.put(key, new byte[0], timeMs);
      context.forward(record);
    }
  }

  /** BROKERS INPUT OUTPUT STATE_DIR GUARANTEE THREADS */
  public static void main(String[] args) throws InterruptedException {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer");
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, args[3]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, args[4]);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[5]);
    // Counts within a second, as adtally shows them.
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "500");
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
    settings.put(StreamsConfig.producerPrefix("acks"), "all");
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");

    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(
        Stores.windowStoreBuilder(
            Stores.persistentWindowStore(SEEN, RETENTION, RETENTION, false),
            Serdes.Bytes(),
            Serdes.ByteArray()));
    builder.stream(args[1], Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .processValues(FirstOnly::new, SEEN)
        .groupByKey(Grouped.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .windowedBy(TimeWindows.ofSizeAndGrace(MINUTE, RETENTION))
        .count(Materialized.as("counts"))
        .toStream()
        .to(
            args[2],
            Produced.with(
                WindowedSerdes.timeWindowedSerdeFrom(byte[].class, MINUTE.toMillis()),
                Serdes.Long()));

    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    CountDownLatch ended = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler
              .StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.RUNNING) System.out.println("peer running");
          if (now == KafkaStreams.State.ERROR) ended.countDown();
        });
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  streams.close(Duration.ofSeconds(10));
                  ended.countDown();
                }));
    streams.start();
    ended.await();
  }
}
