/**
 * The kubeconfig file by which kubectl and other programs find this server.
 * Proof: test/api-server/access.test.ts.
 * @module
 */

export interface KubeconfigContent {
  readonly url: string;
  readonly token: string;
  readonly user: string;
  readonly namespace?: string | undefined;
  /** PEM. */
  readonly certificateAuthority?: string | undefined;
}

/** JSON, which is YAML too. */
export function kubeconfigText(content: KubeconfigContent): string {
  const { url, token, user, namespace, certificateAuthority } = content;
  const name = "testbed";
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name,
        cluster: {
          server: url,
          ...(certificateAuthority === undefined
            ? {}
            : {
                "certificate-authority-data": Buffer.from(certificateAuthority).toString("base64"),
              }),
        },
      },
    ],
    users: [{ name: user, user: { token } }],
    contexts: [
      { name, context: { cluster: name, user, ...(namespace === undefined ? {} : { namespace }) } },
    ],
    "current-context": name,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
