import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;

/**
 * One task's share of a picture of the Mandelbrot set: pixel for pixel that of {@code ../mandelbrot/mandelbrot.py},
 * which says why it is computed so.
 *
 * <p>Task i of n computes the rows i, i + n, i + 2n, … and leaves them in its home as the answer JAR
 * {@code rjs/band-i.jar}, with a picture {@code band.ppm} in it. The program knows nothing of RJS: it is told its
 * number, and could as well be started by hand.
 *
 * <pre>java -cp mandelbrot.jar Mandelbrot INDEX COUNT [WIDTH HEIGHT]</pre>
 */
public final class Mandelbrot {
    private static final double CENTRE_X = -0.7;
    private static final double CENTRE_Y = 0.0;
    private static final double SPAN = 3.45; // width of the view in the complex plane
    private static final int MAX_ITERATIONS = 500; // a point still near after so many steps counts as inside
    private static final double ESCAPE = 256.0; // |z|² beyond which a point has left

    private static final int[][] COLOURS = { // around a circle: night, deep blue, sky, ice, gold, rust
        {0, 2, 12}, {0, 7, 100}, {32, 107, 203}, {237, 255, 255}, {255, 170, 0}, {120, 30, 10},
    };
    private static final int SHADES = 4096; // steps around the circle
    private static final double HALF_WAY = 30.0; // iterations after which half of TURNS is behind us
    private static final double TURNS = 2.0; // rounds of the circle from the first iteration to the last
    private static final double INSIDE = -1.0;

    private Mandelbrot() {}

    /** Computes the band that the arguments ask for, and writes its answer JAR. */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 2 && arguments.length != 4) {
            System.err.println("usage: java Mandelbrot INDEX COUNT [WIDTH HEIGHT]");
            System.exit(2);
        }
        int index = Integer.parseInt(arguments[0]);
        int count = Integer.parseInt(arguments[1]);
        boolean sized = arguments.length == 4;
        int width = sized ? Integer.parseInt(arguments[2]) : 960;
        int height = sized ? Integer.parseInt(arguments[3]) : 640;
        Path folder = Paths.get(System.getProperty("user.home"), "rjs");
        Files.createDirectories(folder);
        write(folder.resolve("band-" + index + ".jar"), band(index, count, width, height));
    }

    /** Writes a JAR with the picture in it. */
    private static void write(Path jar, byte[] picture) throws IOException {
        Manifest manifest = new Manifest();
        manifest.getMainAttributes().put(Attributes.Name.MANIFEST_VERSION, "1.0");
        try (OutputStream file = Files.newOutputStream(jar);
                JarOutputStream out = new JarOutputStream(file, manifest)) {
            out.putNextEntry(new JarEntry("band.ppm"));
            out.write(picture);
            out.closeEntry();
        }
    }

    /** Computes the rows index, index + count, … as the bytes of a PPM; each pixel is the mean of four points. */
    static byte[] band(int index, int count, int width, int height) {
        int[][] shades = circleOfShades();
        double scale = SPAN / width;
        int rows = index < height ? (height - index + count - 1) / count : 0;
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        String header = "P6\n# band " + index + " of " + count + "\n" + width + " " + rows + "\n255\n";
        byte[] head = header.getBytes(StandardCharsets.US_ASCII);
        out.write(head, 0, head.length);
        for (int row = index; row < height; row += count) {
            for (int column = 0; column < width; column++) {
                int[] sum = new int[3];
                for (int part = 0; part < 4; part++) {
                    int half = 2 * column + part / 2;
                    double x = CENTRE_X + scale * (half / 2.0 - width / 2.0 + 0.25);
                    double y = CENTRE_Y - scale * (row - height / 2.0 + (part % 2 == 0 ? 0.25 : 0.75));
                    double steps = iterations(x, y);
                    if (steps != INSIDE) {
                        int[] shade = shades[Math.floorMod((int) (steps / (steps + HALF_WAY) * TURNS * SHADES), SHADES)];
                        for (int each = 0; each < 3; each++) {
                            sum[each] += shade[each];
                        }
                    }
                }
                for (int each : sum) {
                    out.write(each >> 2);
                }
            }
        }
        return out.toByteArray();
    }

    /** Blends the colours into SHADES red-green-blue triples that close to a circle. */
    private static int[][] circleOfShades() {
        int[][] shades = new int[SHADES][3];
        for (int step = 0; step < SHADES; step++) {
            int at = step * COLOURS.length / SHADES;
            double part = (double) (step * COLOURS.length % SHADES) / SHADES;
            part *= part * (3 - 2 * part); // ease in and out: no edge where two blends meet
            int[] before = COLOURS[at];
            int[] after = COLOURS[(at + 1) % COLOURS.length];
            for (int each = 0; each < 3; each++) {
                shades[step][each] = (int) (before[each] + (after[each] - before[each]) * part);
            }
        }
        return shades;
    }

    /** Counts the steps of z² + c from 0 until c = x + iy escapes, smoothly; INSIDE for a point that does not. */
    private static double iterations(double x, double y) {
        double y2 = y * y;
        double left = x - 0.25;
        double q = left * left + y2;
        if (q * (q + left) < 0.25 * y2 || (x + 1) * (x + 1) + y2 < 0.0625) {
            return INSIDE; // in the great heart or the disc beside it
        }
        double a = 0.0;
        double b = 0.0;
        double a2 = 0.0;
        double b2 = 0.0;
        for (int step = 0; step < MAX_ITERATIONS; step++) {
            b = (a + a) * b + y;
            a = a2 - b2 + x;
            a2 = a * a;
            b2 = b * b;
            if (a2 + b2 > ESCAPE) {
                return step + 4.0 - log2(log2(a2 + b2));
            }
        }
        return INSIDE;
    }

    /** Logarithm to base 2 of a normal x > 0, to 1e-8, the same on every machine (the series of artanh). */
    private static double log2(double x) {
        int exponent = Math.getExponent(x) + 1;
        double mantissa = Math.scalb(x, -exponent);
        double s = (mantissa - 0.7071067811865476) / (mantissa + 0.7071067811865476);
        double q = s * s;
        double series =
                2.8853900817779268 + q * (0.9617966939259756 + q * (0.5770780163555854 + q * 0.4121985831111324));
        return exponent - 0.5 + s * series;
    }
}
