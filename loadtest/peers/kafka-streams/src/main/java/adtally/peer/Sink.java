package adtally.peer;

import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * What Kafka Connect does with a ClickHouse sink, without its generality: reads a topic, inserts
 * in batches, then commits how far it has read. Rows that are sent twice are one row by the
 * table's order key.
 */
final class Sink implements Runnable {
  /** Appends the record's row to the batch. */
  interface Encoder {
    void write(ConsumerRecord<byte[], byte[]> record, ByteArrayOutputStream batch);
  }

  private static final int MOST_BYTES = 64 << 20;
  private final Properties settings = new Properties();
  private final String topic;
  private final URI insert;
  private final Duration every;
  private final Encoder encoder;
  private final HttpClient http =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  Sink(
      String brokers, boolean readsCommitted, String topic, String clickhouse, String sql,
      String insertSettings, Duration every, Encoder encoder) {
    settings.put("bootstrap.servers", brokers);
    settings.put("group.id", "sink-" + topic);
    settings.put("isolation.level", readsCommitted ? "read_committed" : "read_uncommitted");
    settings.put("enable.auto.commit", "false");
    settings.put("auto.offset.reset", "earliest");
    settings.put("max.poll.records", "50000");
    settings.put("max.partition.fetch.bytes", String.valueOf(8 << 20));
    settings.put("fetch.min.bytes", "100000");
    settings.put("fetch.max.wait.ms", "100");
    this.topic = topic;
    this.insert =
        URI.create(
            clickhouse + "/?" + insertSettings + "query=" + URLEncoder.encode(sql, StandardCharsets.UTF_8));
    this.every = every;
    this.encoder = encoder;
  }

  static void writeOffset(ByteArrayOutputStream batch, long offset) {
    byte[] bytes = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(offset).array();
    batch.write(bytes, 0, bytes.length);
  }

  @Override
  public void run() {
    ByteArrayOutputStream batch = new ByteArrayOutputStream(MOST_BYTES);
    try (KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      consumer.subscribe(List.of(topic));
      long sentNs = System.nanoTime();
      while (true) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(50)))
          encoder.write(record, batch);
        boolean isDue = System.nanoTime() - sentNs >= every.toNanos() || batch.size() >= MOST_BYTES;
        if (batch.size() == 0 || !isDue) continue;
        sentNs = System.nanoTime();
        send(batch.toByteArray());
        batch.reset();
        consumer.commitSync();
      }
    } catch (Exception error) {
      error.printStackTrace();
      Runtime.getRuntime().halt(1);
    }
  }

  private void send(byte[] rows) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(insert).POST(BodyPublishers.ofByteArray(rows)).build();
    HttpResponse<String> answer = http.send(request, BodyHandlers.ofString());
    if (answer.statusCode() != 200) throw new IllegalStateException(answer.body());
  }
}
