"""Configuration files as they are met on Campaign servers: the shapes that a reader must not stumble over."""

from enum import Enum

PLAIN = """\
<?xml version='1.0' encoding='UTF-8'?>
<serverConf>
  <shared>
    <dataStore hosts="{instance}*" lang="en_US">
      <dataSource name="default">
        <dbcnx NChar="false" encrypted="1" login="{instance}" provider="PostgreSQL" server="db-1"/>
      </dataSource>
    </dataStore>
    <ims authIMSClientId="" authIMSTAClientId="" authIMSTAClientSecret="" authIMSTAId=""/>
  </shared>
  <mta autoStart="true" statServerAddress="localhost"/>
  <wfserver autoStart="true"/>
  <web>
    <redirection IMSOrgId="" databaseId="uFE80000000000000F1FA913DD7CC7C480041161C"/>
  </web>
</serverConf>
"""

MULTILINE = """\
<?xml version="1.0"?>
<!-- Before the move of 2021:
  <ims authIMSTAId="000000000000000000000000@techacct.adobe.com" authIMSTAClientSecret="@b2xk"/>
-->
<serverconf>
  <shared>
    <!-- kept -> <ims authIMSTAClientId="not this one"> -->
    <ims
        authIMSTAClientSecret = ''
        authIMSTAId = ''
        authIMSEndpoint="https://ims-na1.adobelogin.com"
        comment="a &gt; b, authIMSTAId='not this one'"
        authIMSTAClientId=''
    ></ims>
    <dataStore hosts="{instance}*"/>
  </shared>
  <pipelined autoStart="true" appName="{instance}"
             authPrivateKey="@c2VhbGVk"/>
</serverconf>
"""

WITHOUT_IMS = """\
<serverConf>
  <shared><dataStore hosts="{instance}*" lang="fr_FR"/></shared>
  <!-- créé par l'équipe d'exploitation -->
  <web args="-tomcat"/>
</serverConf>
"""

EMPTY_SHARED = """\
<?xml version="1.0" encoding="UTF-8"?><serverConf><shared /><mta autoStart="false"/></serverConf>"""

JWT = """\
<serverConf>
  <shared>
    <ims authIMSEndpoint="https://ims-na1.adobelogin.com"
         authIMSTAClientId="0f0e0d0c0b0a09080706050403020100"
         authIMSTAClientSecret="@{old_secret}"
         authIMSTAId="0123456789ABCDEF01234567@techacct.adobe.com"
         authIMSTAPrivateKey="@{private_key}"/>
  </shared>
  <web>
    <redirection IMSOrgId="FEDCBA9876543210FEDCBA98@AdobeOrg"/>
  </web>
</serverConf>
"""

SERVER = """\
<?xml version='1.0' encoding='UTF-8'?>
<serverConf>
  <shared>
    <dnsConfig localDomain="example.com" nameServers="127.0.0.53"/>
    <ims authIMSEndpoint="https://ims-na1.adobelogin.com"/>
    <exec blacklistFile="blacklist.txt" user="neolane"/>
  </shared>
  <web><redirection IMSOrgId=""/></web>
</serverConf>
"""


class Shape(Enum):
    """The shapes of `config-<instance>.xml`, all without a working OAuth account."""

    PLAIN = PLAIN
    MULTILINE = MULTILINE
    WITHOUT_IMS = WITHOUT_IMS
    EMPTY_SHARED = EMPTY_SHARED
    JWT = JWT

    def text(self, instance: str) -> str:
        """Return the file's content for one instance."""
        return self.value.format(instance=instance, old_secret="b2xk" * 12, private_key="cHJpdmF0ZQ==" * 20)
