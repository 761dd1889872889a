package gantry.interop;

import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.function.Supplier;

/** Assertions and waits whose failure is a sentence. */
public final class Check {

    private static final long POLL_MS = 20;

    private Check() {
    }

    public static final class Failed extends RuntimeException {
        Failed(String message) {
            super(message);
        }
    }

    public static void that(boolean holds, String otherwise) {
        if (!holds) {
            throw new Failed(otherwise);
        }
    }

    public static void equal(Object expected, Object actual, String what) {
        that(Objects.equals(expected, actual), what + ": expected " + expected + ", got " + actual);
    }

    public static <T extends Exception> T raises(Class<T> kind, Callable<?> action, String what) {
        Object result;
        try {
            result = action.call();
        } catch (Exception e) {
            that(kind.isInstance(e), what + ": expected " + kind.getSimpleName() + ", got " + e);
            return kind.cast(e);
        }
        throw new Failed(what + ": expected " + kind.getSimpleName() + ", got " + result);
    }

    /** Waits until the condition holds; an exception of a client inside it means "not yet". */
    public static void eventually(int seconds, Callable<Boolean> condition, Supplier<String> otherwise)
        throws InterruptedException {
        long deadline = System.nanoTime() + seconds * 1_000_000_000L;
        Exception last = null;
        while (System.nanoTime() < deadline) {
            try {
                if (condition.call()) {
                    return;
                }
                last = null;
            } catch (InterruptedException | Failed e) {
                throw e;
            } catch (Exception e) {
                last = e;
            }
            Thread.sleep(POLL_MS);
        }
        throw new Failed(otherwise.get() + " within " + seconds + " s" + (last == null ? "" : " (" + last + ")"));
    }
}
