package gantry.interop;

import java.time.Duration;

/**
 * One named behaviour to verify.
 *
 * @param limit how long it may take before it counts as failed
 */
public record Case(String name, Duration limit, Body body) {

    /** Throws to fail; what it returns is printed beside the result. */
    @FunctionalInterface
    public interface Body {
        String run(Env env) throws Exception;
    }

    public static Case of(String name, Body body) {
        return new Case(name, Duration.ofSeconds(60), body);
    }
}
