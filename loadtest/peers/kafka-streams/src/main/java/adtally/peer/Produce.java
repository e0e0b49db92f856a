package adtally.peer;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Sends the clicks of a file (token and address, 48 bytes each) as fast as the broker takes them:
 * the next N for each line N of its standard input, and prints what was acknowledged of them.
 */
public final class Produce {
  private Produce() {}

  /** BROKERS TOPIC FILE USER_AGENT */
  public static void main(String[] args) throws Exception {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("acks", "all");
    settings.put("linger.ms", "20");
    settings.put("batch.size", "262144");
    settings.put("buffer.memory", "67108864");
    byte[] clicks = Files.readAllBytes(Path.of(args[2]));
    byte[] agent = args[3].getBytes(StandardCharsets.US_ASCII);
    int next = 0;
    try (KafkaProducer<byte[], byte[]> producer =
            new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        BufferedReader wanted = new BufferedReader(new InputStreamReader(System.in))) {
      System.out.println("producer ready");
      for (String line = wanted.readLine(); line != null; line = wanted.readLine()) {
        int count = Integer.parseInt(line);
        AtomicLong acked = new AtomicLong();
        for (int i = 0; i < count; i++, next += Click.AGENT_AT) {
          byte[] value = Arrays.copyOfRange(clicks, next, next + Click.AGENT_AT + agent.length);
          System.arraycopy(agent, 0, value, Click.AGENT_AT, agent.length);
          byte[] key = Arrays.copyOfRange(value, Click.AD_AT, Click.AD_AT + 8);
          producer.send(
              new ProducerRecord<>(args[1], key, value),
              (metadata, error) -> {
                if (error == null) acked.incrementAndGet();
              });
        }
        producer.flush();
        System.out.printf("{\"sent\":%d,\"acked\":%d}%n", count, acked.get());
      }
    }
  }
}
