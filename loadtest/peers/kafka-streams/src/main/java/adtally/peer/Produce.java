package adtally.peer;

import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Sends clicks as fast as the broker takes them, and prints how many it acknowledged. */
public final class Produce {
  private Produce() {}

  /** BROKERS TOPIC CLICKS ADS REPEATS SEED */
  public static void main(String[] args) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("acks", "all");
    settings.put("linger.ms", "20");
    settings.put("batch.size", "262144");
    settings.put("buffer.memory", "67108864");
    String topic = args[1];
    long count = Long.parseLong(args[2]);
    Clicks clicks =
        new Clicks(
            Integer.parseInt(args[3]),
            Double.parseDouble(args[4]),
            System.currentTimeMillis() - 600_000,
            Long.parseLong(args[5]));
    AtomicLong acked = new AtomicLong();
    AtomicLong failed = new AtomicLong();
    long startedNs = System.nanoTime();
    try (KafkaProducer<byte[], byte[]> producer =
        new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
      for (long i = 0; i < count; i++) {
        long impression = clicks.pick();
        producer.send(
            new ProducerRecord<>(
                topic, null, clicks.timeMs(impression), clicks.key(impression), clicks.value(impression)),
            (metadata, error) -> (error == null ? acked : failed).incrementAndGet());
      }
      producer.flush();
    }
    long ms = (System.nanoTime() - startedNs) / 1_000_000;
    System.out.printf(
        "{\"sent\":%d,\"acked\":%d,\"failed\":%d,\"distinct\":%d,\"ms\":%d}%n",
        count, acked.get(), failed.get(), clicks.distinct(), ms);
  }
}
