package adtally.peer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** The catalogue, whole and in memory: campaign and advertiser of each ad, from lines of three numbers. */
final class Ads {
  record Owner(long campaign, long advertiser) {}

  private final Map<Long, Owner> owners = new HashMap<>();

  Ads(Path file) throws IOException {
    for (String line : Files.readAllLines(file)) {
      String[] numbers = line.split(" ");
      owners.put(
          Long.valueOf(numbers[0]),
          new Owner(Long.parseLong(numbers[1]), Long.parseLong(numbers[2])));
    }
  }

  /** Null for an ad that nobody registered. */
  Owner of(long ad) {
    return owners.get(ad);
  }
}
