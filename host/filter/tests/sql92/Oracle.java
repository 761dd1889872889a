import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.io.PrintStream;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.StringJoiner;
import org.apache.rocketmq.filter.expression.BooleanExpression;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.expression.MQFilterException;
import org.apache.rocketmq.filter.parser.SelectorParser;

/**
 * Asks Apache RocketMQ's own filter what it makes of expressions. Writes lines of {@code expression, properties, result},
 * separated by tabs; the properties are {@code name=value} joined by {@code ;}, the result is T(rue), F(alse), N(ull),
 * E(rror while evaluating) or P(arse error).
 *
 * <pre>
 * Oracle judge &lt; EXPRESSIONS-AND-PROPERTIES     what is asked comes from the input, tab-separated
 * Oracle random COUNT SEED                      what is asked is made up
 * </pre>
 */
public final class Oracle {

    private static final String[] NAMES = {"a", "b", "c", "d", "zz"};
    private static final String[] VALUES = {
        "1", "2", "-1", "007", "+3", "1.5", "1.0", "-0.0", "1e3", "3000000000", "99999999999999999999", "true", "TRUE",
        "false", "hello", "h", "it's", " 1", "NaN", "Infinity", "5f", "5d", "5L", ".5", "5."};
    private static final String[] LITERALS = {
        "0", "1", "2", "3", "5", "3000000000", "5L", "1.5", "1.0", "1e3", "5.", ".5", "'1'", "'1.0'", "'hello'", "'h'",
        "'it''s'", "''", "'true'", "TRUE", "false", "NULL", "9223372036854775807", "9223372036854775808", "0.0", "012"};
    private static final String[] EQUALITY = {"=", "<>"};
    private static final String[] ORDER = {">", ">=", "<", "<="};
    private static final String[] SEARCH = {"CONTAINS", "STARTSWITH", "EndsWith"};
    private static final String[] WORDS = {
        "AND", "OR", "NOT", "IS", "NULL", "IN", "BETWEEN", "(", ")", ",", "=", "<>", ">", "<=", "+", "-", "a", "zz", "1",
        "'h'", "LIKE", ";", "*", "!=", "-- x", "/* x */", "--\n", "wasm"};

    private final Random random;

    private Oracle(long seed) {
        random = new Random(seed);
    }

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        if ("judge".equals(args[0])) {
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] fields = line.split("\t", -1);
                out.println(fields[0] + "\t" + fields[1] + "\t" + judge(fields[0], fields[1]));
            }
            return;
        }
        Oracle oracle = new Oracle(Long.parseLong(args[2]));
        for (int i = 0; i < Integer.parseInt(args[1]); i++) {
            String expression = oracle.damaged(oracle.condition(3)).replace("\n", "\\n");
            String properties = oracle.properties();
            out.println(expression + "\t" + properties + "\t" + judge(expression, properties));
        }
    }

    private static char judge(String escaped, String encoded) {
        Map<String, String> properties = new HashMap<>();
        for (String pair : encoded.split(";")) {
            int split = pair.indexOf('=');
            if (split > 0) {
                properties.put(pair.substring(0, split), pair.substring(split + 1));
            }
        }
        BooleanExpression expression;
        try {
            expression = SelectorParser.parse(escaped.replace("\\n", "\n"));
        } catch (MQFilterException e) {
            return 'P';
        }
        try {
            Object result = expression.evaluate(new EvaluationContext() {
                @Override
                public Object get(String name) {
                    return properties.get(name);
                }

                @Override
                public Map<String, Object> keyValues() {
                    return new HashMap<>(properties);
                }
            });
            return result == null ? 'N' : Boolean.TRUE.equals(result) ? 'T' : 'F';
        } catch (Exception e) {
            return 'E';
        }
    }

    private String condition(int depth) {
        switch (depth == 0 ? 2 + random.nextInt(7) : random.nextInt(12)) {
            case 0:
                return condition(depth - 1) + " AND " + condition(depth - 1);
            case 1:
                return condition(depth - 1) + " OR " + condition(depth - 1);
            case 2:
            case 3:
                return operand(depth) + " " + one(EQUALITY) + " " + operand(depth);
            case 4:
                return operand(depth) + " " + one(ORDER) + " " + operand(depth);
            case 5:
                return operand(depth) + not() + " BETWEEN " + operand(0) + " AND " + operand(0);
            case 6:
                return one(NAMES) + not() + " IN ('1', 'hello'" + (random.nextBoolean() ? "" : ", 'it''s'") + ")";
            case 7:
                return operand(depth) + not() + " " + one(SEARCH) + " 'h'";
            case 8:
                return operand(depth) + " IS" + not() + " NULL";
            case 9:
                return "NOT (" + condition(depth - 1) + ")";
            case 10:
                return "(" + condition(depth - 1) + ")";
            default:
                return one(NAMES);
        }
    }

    private String operand(int depth) {
        int kind = random.nextInt(depth == 0 ? 20 : 22);
        if (kind < 10) {
            return one(NAMES);
        }
        if (kind < 18) {
            return one(LITERALS);
        }
        if (kind == 18) {
            return "-" + operand(0);
        }
        if (kind == 19) {
            return "+ " + operand(0);
        }
        return "(" + condition(depth - 1) + ")";
    }

    private String not() {
        return random.nextInt(3) == 0 ? " NOT" : "";
    }

    /** Most stay as they are; some lose, gain or exchange a word. */
    private String damaged(String expression) {
        if (random.nextInt(4) != 0) {
            return expression;
        }
        List<String> words = new java.util.ArrayList<>(List.of(expression.split(" ")));
        int at = random.nextInt(words.size());
        switch (random.nextInt(4)) {
            case 0:
                words.remove(at);
                break;
            case 1:
                words.set(at, one(WORDS));
                break;
            case 2:
                words.add(at, one(WORDS));
                break;
            default:
                words.add(one(WORDS));
                words.add(one(WORDS));
        }
        return String.join(" ", words);
    }

    private String properties() {
        StringJoiner joined = new StringJoiner(";");
        for (int i = 0; i < 4; i++) {
            if (random.nextInt(4) != 0) {
                joined.add(NAMES[i] + "=" + one(VALUES));
            }
        }
        return joined.toString();
    }

    private String one(String[] of) {
        return of[random.nextInt(of.length)];
    }
}
