package gantry.interop;

import gantry.interop.cases.AdminCases;
import gantry.interop.cases.AssignmentCases;
import gantry.interop.cases.BinaryHeaderCases;
import gantry.interop.cases.BulkCases;
import gantry.interop.cases.ClusteringCases;
import gantry.interop.cases.LitePullCases;
import gantry.interop.cases.OffsetCases;
import gantry.interop.cases.OrderlyCases;
import gantry.interop.cases.PullCases;
import gantry.interop.cases.RefusalCases;
import gantry.interop.cases.RetryCases;
import gantry.interop.cases.SendCases;
import gantry.interop.cases.SizeCases;
import gantry.interop.cases.SqlCases;
import gantry.interop.cases.SubscriptionCases;
import gantry.interop.cases.TimerCases;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/** Runs the cases one after the other and prints a line for each. */
public final class Main {

    private static final List<Case> CASES = Stream.of(
            SendCases.ALL, RefusalCases.ALL, SizeCases.ALL, AdminCases.ALL, PullCases.ALL, LitePullCases.ALL,
            SubscriptionCases.ALL, SqlCases.ALL, ClusteringCases.ALL, AssignmentCases.ALL, OrderlyCases.ALL,
            RetryCases.ALL, TimerCases.ALL, OffsetCases.ALL, BinaryHeaderCases.ALL, BulkCases.ALL)
        .flatMap(List::stream)
        .toList();

    /** Run by other cases, in a process of their own. */
    private static final List<Case> CHILDREN = Stream.of(BinaryHeaderCases.CHILD, AssignmentCases.CHILD)
        .flatMap(List::stream)
        .toList();

    private Main() {
    }

    public static void main(String[] args) {
        Settings settings = Settings.parse(args);
        if ("list".equals(settings.only())) {
            CASES.forEach(c -> System.out.println(c.name()));
            return;
        }
        Stream<Case> chosen = settings.only() == null
            ? CASES.stream()
            : Stream.concat(CASES.stream(), CHILDREN.stream()).filter(c -> c.name().equals(settings.only()));
        Set<String> left = leftOut();
        long failures = chosen.filter(c -> !left.contains(c.name())).filter(c -> !passes(c, settings)).count();
        // Client threads of a case that ran out of time would keep the process alive.
        System.exit(failures == 0 ? 0 : 1);
    }

    /** Cases of features that the server under test is known not to have: comma separated in INTEROP_EXCEPT. */
    private static Set<String> leftOut() {
        String names = System.getenv().getOrDefault("INTEROP_EXCEPT", "");
        Set<String> left = Set.of(names.split(","));
        CASES.stream().map(Case::name).filter(left::contains).forEach(name -> System.out.println("skip java/" + name));
        return left;
    }

    private static boolean passes(Case c, Settings settings) {
        long began = System.nanoTime();
        Env env = new Env(settings, c.name());
        FutureTask<String> task = new FutureTask<>(() -> {
            try (env) {
                return c.body().run(env);
            }
        });
        Thread thread = new Thread(task, c.name());
        thread.setDaemon(true);
        thread.start();
        try {
            String detail = task.get(c.limit().toMillis(), TimeUnit.MILLISECONDS);
            double seconds = (System.nanoTime() - began) / 1e9;
            System.out.println(String.format(Locale.ROOT, "ok  java/%s  (%.1fs) %s", c.name(), seconds, detail));
            return true;
        } catch (ExecutionException e) {
            return fails(c, describe(e.getCause()));
        } catch (TimeoutException e) {
            thread.interrupt();
            return fails(c, "not finished after " + c.limit().toSeconds() + " s");
        } catch (InterruptedException e) {
            return fails(c, "interrupted");
        }
    }

    private static boolean fails(Case c, String reason) {
        System.out.println("FAIL java/" + c.name() + " " + reason);
        return false;
    }

    /** One line: the message, or for anything unexpected its class and where it came from. */
    private static String describe(Throwable error) {
        String text = String.valueOf(error.getMessage()).replaceAll("\\s*[\\r\\n]+\\s*", " ");
        if (error instanceof Check.Failed) {
            return text;
        }
        String place = Stream.of(error.getStackTrace())
            .filter(frame -> frame.getClassName().startsWith("gantry."))
            .findFirst()
            .map(frame -> " at " + frame.getFileName() + ":" + frame.getLineNumber())
            .orElse("");
        return error.getClass().getSimpleName() + ": " + text + place;
    }
}
