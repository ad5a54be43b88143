"""Client secrets in the writings in which people and programs put them where they do not belong."""

BODY = "Canary0-Canary1_Canary2-Canary3X"
SECRET = f"p8e-{BODY}"
JWT_SECRET = f"s8e-{BODY}"
WRITINGS = {
    "plain": SECRET,
    "of a JWT credential": JWT_SECRET,
    "inside a sentence": f"it is {SECRET}, please",
    "glued to a word": f"secret{SECRET}",
    "in capitals": SECRET.upper(),
    "half of it": SECRET[:20],
    "percent-encoded": SECRET.replace("-", "%2D"),
    "percent-encoded altogether": "".join(f"%{ord(char):02x}" for char in SECRET),
    "in a query": f"client_id=1&client_secret%3D{SECRET}",
    "with a dash of a word processor": SECRET.replace("-", "\u2013"),
    "in wide characters": "".join(chr(ord(char) + 0xFEE0) for char in SECRET),
    "with an invisible character": f"p8e\u200b-{BODY}",
    "in the command": "nlserver config -setimsoauth:ORG/CLIENT/ACCOUNT/any-other-shape",
    "access token": f"eyJhbGciOiJSUzI1NiJ9{BODY}.{BODY}.{BODY}",
    "private key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
}
HARMLESS = (
    "app8e-frankfurt",
    "app8e-frankfurt-production-01.example.com",
    "s8e-frankfurt",
    "heyjude-application-servers.example-of-a-long-name.com",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUr8p8e+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "0b0b0b0b-1111-2222-3333-444455556666@techacct.adobe.com",
    "-setimsoauth:********",
    "Rotation, ticket OPS-1234",
)
