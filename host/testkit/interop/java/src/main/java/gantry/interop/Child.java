package gantry.interop;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Another process of the suite that runs one case. */
public final class Child {

    private Child() {
    }

    /** Starts the case of this name in a JVM like this one with further options; what it prints is read by the caller. */
    public static Process start(Settings settings, String caseName, List<String> options) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
        command.addAll(options);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Main.class.getName()));
        command.addAll(List.of("--namesrv", settings.namesrv(), "--run", settings.run(), "--case", caseName));
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
    }
}
