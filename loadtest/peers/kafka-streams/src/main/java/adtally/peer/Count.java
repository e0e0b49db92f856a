package adtally.peer;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Exactly once by ad and minute in Kafka Streams: ids of the last two hours in a window store
 * (RocksDB, with its changelog topic), counts in another, the counts to a topic. As "bare" that is
 * all; as "same-job" it checks tokens, decides as adtally does, and brings counts and raw rows to
 * ClickHouse.
 */
public final class Count {
  static final String SEEN = "seen";
  private static final Duration RETENTION = Duration.ofHours(2);
  private static final Duration MINUTE = Duration.ofMinutes(1);
  /** As often as adtally does. */
  private static final Duration COUNTS_EVERY = Duration.ofMillis(400);
  private static final Duration RAW_EVERY = Duration.ofMillis(700);
  private static final String RAW_COLUMNS =
      "impression_id, ad_id, campaign_id, advertiser_id, click_time, received_time, ip, generation, shard,"
          + " source, verdict, reason, sequence, row_number, user_agent, offset";
  private static final String COUNT_COLUMNS =
      "advertiser_id, campaign_id, ad_id, minute, shard, clicks, invalid, duplicates, version";

  private Count() {}

  /** JOB BROKERS INPUT COUNTS STATE_DIR GUARANTEE THREADS, and for same-job: RAW KEY ADS_FILE CLICKHOUSE */
  public static void main(String[] args) throws InterruptedException, IOException {
    boolean isSameJob = args[0].equals("same-job");
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer");
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[1]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, args[4]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, args[5]);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[6]);
    // Counts within a second, as adtally shows them; each window once a commit.
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "500");
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, String.valueOf(64 << 20));
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
    settings.put(StreamsConfig.producerPrefix("acks"), "all");
    // Large batches, as Kafka's documentation has it for throughput. RocksDB is left as Streams sets
    // it up, with Bloom filters and universal compaction; lz4 was tried, and changed nothing.
    settings.put(StreamsConfig.producerPrefix("batch.size"), "262144");
    settings.put(StreamsConfig.producerPrefix("linger.ms"), "100");
    settings.put(StreamsConfig.producerPrefix("buffer.memory"), "67108864");
    settings.put(StreamsConfig.consumerPrefix("max.poll.records"), "10000");
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");

    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(
        Stores.windowStoreBuilder(
            Stores.persistentWindowStore(SEEN, RETENTION, RETENTION, false),
            Serdes.Bytes(),
            Serdes.ByteArray()));
    KStream<byte[], byte[]> clicks =
        builder.stream(args[2], Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()));
    if (isSameJob) sameJob(clicks, args);
    else
      byMinute(clicks.processValues(FirstOnly::new, SEEN))
          .count(Materialized.as("counts"))
          .toStream()
          .to(
              args[3],
              Produced.with(
                  WindowedSerdes.timeWindowedSerdeFrom(byte[].class, MINUTE.toMillis()),
                  Serdes.Long()));
    run(new KafkaStreams(builder.build(), settings));
  }

  private static TimeWindowedKStream<byte[], byte[]> byMinute(KStream<byte[], byte[]> clicks) {
    return clicks
        .groupByKey(Grouped.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .windowedBy(TimeWindows.ofSizeAndGrace(MINUTE, RETENTION));
  }

  private static void sameJob(KStream<byte[], byte[]> clicks, String[] args) throws IOException {
    byte[] key = Base64.getDecoder().decode(args[8]);
    Ads ads = new Ads(Path.of(args[9]));
    KStream<byte[], byte[]> decided =
        clicks.processValues(() -> new Decide(key, ads, RETENTION), SEEN);
    decided.to(args[7], Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
    // Clicks and duplicates, four bytes each.
    byMinute(decided)
        .aggregate(
            () -> new byte[8],
            (ad, row, counts) -> {
              ByteBuffer next = ByteBuffer.allocate(8).put(counts);
              int at = row[Rows.VERDICT_AT] == Rows.ACCEPTED ? 0 : 4;
              return next.putInt(at, next.getInt(at) + 1).array();
            },
            Materialized.<byte[], byte[], WindowStore<Bytes, byte[]>>as("counts")
                .withValueSerde(Serdes.ByteArray()))
        .toStream()
        .to(
            args[3],
            Produced.with(
                WindowedSerdes.timeWindowedSerdeFrom(byte[].class, MINUTE.toMillis()),
                Serdes.ByteArray()));

    boolean readsCommitted = args[5].equals(StreamsConfig.EXACTLY_ONCE_V2);
    Sink raw =
        new Sink(
            args[1],
            readsCommitted,
            args[7],
            args[10],
            "INSERT INTO adtally.clicks_raw (" + RAW_COLUMNS + ") FORMAT RowBinary",
            "optimize_on_insert=0&max_threads=1&",
            RAW_EVERY,
            Count::writeRaw);
    Sink counts =
        new Sink(
            args[1],
            readsCommitted,
            args[3],
            args[10],
            "INSERT INTO adtally.click_counts (" + COUNT_COLUMNS + ") FORMAT RowBinary",
            "",
            COUNTS_EVERY,
            (record, batch) -> writeCount(ads, record, batch));
    for (Sink sink : new Sink[] {raw, counts}) {
      Thread thread = new Thread(sink);
      thread.setDaemon(true);
      thread.start();
    }
  }

  private static void writeRaw(ConsumerRecord<byte[], byte[]> record, ByteArrayOutputStream batch) {
    batch.write(record.value(), 0, record.value().length);
    Sink.writeOffset(batch, record.offset());
  }

  /** The key is the ad and, behind it, the window's start. */
  private static void writeCount(
      Ads ads, ConsumerRecord<byte[], byte[]> record, ByteArrayOutputStream batch) {
    ByteBuffer key = ByteBuffer.wrap(record.key());
    long ad = key.getLong(0);
    ByteBuffer row = ByteBuffer.allocate(Rows.COUNT_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    ByteBuffer value = ByteBuffer.wrap(record.value());
    Rows.count(row, ads.of(ad), ad, key.getLong(8), record.partition(), value, record.offset());
    batch.write(row.array(), 0, Rows.COUNT_BYTES);
  }

  private static void run(KafkaStreams streams) throws InterruptedException {
    CountDownLatch ended = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
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
