import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.*;
import java.util.*;

/**
 * Verifies certificate chains with PKIX. Arguments: for each chain the files of root, intermediate and leaf. Prints a line
 * for each, "accepted" or the reason. The name is not looked at: that of the leaf is its own here.
 */
public class Verify {
    public static void main(String[] args) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        for (int i = 0; i + 2 < args.length; i += 3) {
            X509Certificate root = read(factory, args[i]);
            CertPath path = factory.generateCertPath(List.of(read(factory, args[i + 2]), read(factory, args[i + 1])));
            // As an anchor is in a trust store: its constraints are not looked at.
            PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
            parameters.setRevocationEnabled(false);
            try {
                CertPathValidator.getInstance("PKIX").validate(path, parameters);
                System.out.println("accepted");
            } catch (CertPathValidatorException error) {
                System.out.println(error.getMessage());
            } catch (RuntimeException error) {
                System.out.println("failed: " + error);
            }
        }
    }

    private static X509Certificate read(CertificateFactory factory, String file) throws Exception {
        return (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(Files.readAllBytes(Path.of(file))));
    }
}
