/**
 * The byte table of the BUZHASH splitters: 256 distinct low 32-bit words of Go's legacy generator with seed 1, big-endian,
 * base64. Proof: test/tables.test.ts derives it again.
 * @module
 */
export const buzhashTableBase64: string =
  "B/z9Ul8/Fk9mlXIde018A0nG4tENHWjYeRYAHiLE0pQ5KQegGJ3rmfOHXQSV6UYnulF5NoPEcdR8s60LpCZV2XxOC2jUSR0b" +
  "JWMhhqnXjXMWnBEhuxWGRLaOaj91mAX1LN9bilfSkkXF1tJoa4PQ4nZ0y3SwaNnbu5RX2KFdUjt5Qgn/naHX61ol4Mv4QOxL" +
  "NtT/m/Sl7jta0UX09nQDBD9x+MuRAY18/MriJLGGtR99no+8k/k/M/Y6W28ZR2w2vIl9BhaYc/VyTHrxWB7rOSJXu31vJpoo" +
  "vo6ZgXA5N0slQW/t3tfkEWZ456okT802Vqprht5FYa0+mbCovtgKOuWDSLCvY+WNQGrsncIz8Ael6tC9BQFDpnOLaCk2mcrz" +
  "lnzXEAb2ZaYl/T1/D9bkeSb78psW3kw1K/M5S0r4ZLocuebGQUOQiWmjkUTDTxgtQhZX//n8ZWiLAskXbJxkt4PReQnqPUyl" +
  "r2NdR3/Hh2m+FBhvNTmx6ukXRUjAUeGKB7c2WCnsMAyiUL80p+1dl/496nm4s1L3ybNE6Y5fBHUZQeUqJpR2PWtA6ryEhdaL" +
  "M26sykOZo2NnFJucrhCpAVpf/vtWOybebwDwK58GOX1UWDbEMdZBaxL0Eo11LzP/SjBWBQyNwhRyUhqQjrPkoYPvxsYJDsBP" +
  "wVQIZOwsiqpwq1O6ONO0lIeNQGOjF64/PLYvB/NgQSxP+/OpItVUtD8ZBHYHlqcQ9cNTzwT1m7ctIwF24tapzj8ddCev2RW7" +
  "sBqkfc3iwml0F784HglPmlXs4OrLlFObE9NGtVTgwMFtsw433AKzkKbiIvXi+MH+LhZr32dYinQhiY80TDMPHRmvU7pwZYuU" +
  "EzyWc07+6t0PISVRBw8JFG8kHFfxPkG3O+cMsPS29H8g8xEnZVHLiSicvSyJRvI9QKecOwPG2YIDZXkMDPUlFwuxMeg9pUdc" +
  "E578yrzUTrSlSvdHtzwy7Z9sR6zouo8iVAQ6ZjsKfyC0kmQx4XwC1Y8NJVgBT7/yf4A1lHm3b74z/iZWeSyO6GtBKS39/5wy" +
  "ggkymFlIOHCy1aETLdluWluOVqnr2d2pBPnOkstECVCmflKxSfbSYZJBf8McO2vZsCe34B92WkFEyatARdmRIf16hK+Zt1eI" +
  "46v/SqiKpn9zbkHMnLy+Xns8zrzht/qTMVrmr5zO0uIZ6g8vqXcHIoSmv9yI8D8HpEoDpCemuIW1gMi6AYFT2rZI5gRRGAJ4" +
  "iToxD3KPX0w39RmLPMDqm+OdAtsTiDFCylmTksEtFU7BdhY9XJLiuPn5Xt64Ar38ipKFhdym4QuIeVPoSLnpYuUz6aNeDObl" +
  "Hbp3rsghS4pTtCjXTPIKZQ==";
