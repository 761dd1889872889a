package gantry.interop;

import java.util.HashMap;
import java.util.Map;

/**
 * The command line, the same for every language of the suite.
 *
 * @param run prefix of every topic and group, so that runs do not meet on a server that keeps its data
 * @param only name of the single case to run, or null for all
 */
public record Settings(String namesrv, String run, boolean quick, String only) {

    public static Settings parse(String[] args) {
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            options.put(args[i], args[i + 1]);
        }
        String namesrv = options.get("--namesrv");
        if (namesrv == null && !"list".equals(options.get("--case")) || args.length % 2 != 0) {
            throw new IllegalArgumentException("usage: --namesrv HOST:PORT [--run ID] [--mode quick|full] [--case NAME]");
        }
        String run = options.getOrDefault("--run", Long.toString(System.currentTimeMillis(), 36));
        return new Settings(namesrv, run, "quick".equals(options.get("--mode")), options.get("--case"));
    }
}
