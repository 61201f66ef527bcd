/* feeds/popular_names.c: see popular.h. One reason to exist: the list of names that any operator would recognise.
 *
 * Names of services that break loudly when they are answered falsely, by kind; each stands for itself and all below it. With '=' in
 * front a name stands for itself alone, because what is below belongs to whoever rents it there. Made from what the vendors
 * document as hosts that a firewall must let through, and from what everybody uses; no ranking was copied. */
#include "feeds/popular.h"

static const char *const names[] = {
    /* search, portals, encyclopaedias, maps */
    "google.com", "google.de", "google.fr", "google.co.uk", "google.es", "google.it", "google.pl", "google.nl", "google.ca",
    "google.com.au", "google.com.br", "google.co.in", "google.co.jp", "gstatic.com", "googleapis.com", "ggpht.com", "bing.com",
    "duckduckgo.com", "ecosia.org", "qwant.com", "startpage.com", "yahoo.com", "yahoo.co.jp", "yimg.com", "baidu.com",
    "bdstatic.com", "yandex.ru", "yandex.com", "yandex.net", "yastatic.net", "naver.com", "seznam.cz", "sogou.com", "ask.com",
    "wikipedia.org", "wikimedia.org", "wiktionary.org", "openstreetmap.org", "archive.org", "wolframalpha.com",
    /* mail, calendars, groupware */
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "office.com", "office.net", "office365.com",
    "microsoftonline.com", "msauth.net", "msftauth.net", "sharepoint.com", "onmicrosoft.com", "icloud.com", "me.com", "proton.me",
    "protonmail.com", "tutanota.com", "fastmail.com", "gmx.net", "gmx.com", "web.de", "mail.ru", "qq.com", "163.com", "aol.com",
    "zoho.com", "mailchimp.com", "sendgrid.net", "mailgun.org", "t-online.de", "orange.fr", "libero.it",
    /* clouds and what runs on them */
    "amazon.com", "aws.amazon.com", "=amazonaws.com", "=s3.amazonaws.com", "=elb.amazonaws.com", "awsstatic.com", "azure.com",
    "=azurewebsites.net", "=azure-api.net", "=windows.net", "=core.windows.net", "=blob.core.windows.net", "login.windows.net",
    "graph.windows.net", "=trafficmanager.net", "=cloudapp.net", "cloud.google.com", "googlecloud.com", "=appspot.com",
    "=googleusercontent.com", "=run.app", "=web.app", "oraclecloud.com", "oracle.com", "=digitalocean.com", "=ondigitalocean.app",
    "=digitaloceanspaces.com", "=linode.com", "hetzner.com", "=hetzner.cloud", "=ovh.com", "=ovh.net", "=scaleway.com", "ibm.com",
    "=alibabacloud.com", "=aliyun.com", "=aliyuncs.com", "=tencentcloud.com", "=myqcloud.com", "=herokuapp.com", "heroku.com",
    "=netlify.app", "netlify.com", "=vercel.app", "vercel.com", "=fly.dev", "=pages.dev", "=workers.dev", "=backblazeb2.com",
    "=wasabisys.com", "=supabase.co", "=firebaseio.com", "=firebaseapp.com",
    /* content networks */
    "=akamai.net", "=akamaiedge.net", "=akamaized.net", "=akamaihd.net", "=akadns.net", "=akam.net", "=edgekey.net",
    "=edgesuite.net", "akamai.com", "cloudflare.com", "=cloudflare.net", "cdnjs.cloudflare.com", "cloudflare-dns.com",
    "cloudflareinsights.com", "=cloudfront.net", "=fastly.net", "=fastlylb.net", "fastly.com", "=azureedge.net", "=azurefd.net",
    "=msedge.net", "=b-cdn.net", "bunny.net", "=cdn77.org", "=stackpathdns.com", "=llnwd.net", "=edgecastcdn.net", "=jsdelivr.net",
    "cdn.jsdelivr.net", "unpkg.com", "bootstrapcdn.com", "jquery.com", "fontawesome.com", "typekit.net", "=cloudinary.com",
    "=imgix.net", "=gcdn.co", "alicdn.com", "=incapdns.net", "=sucuri.net",
    /* operating systems: updates, activation, "is there a network?" */
    "microsoft.com", "windowsupdate.com", "update.microsoft.com", "delivery.mp.microsoft.com", "windows.com", "msftncsi.com",
    "msftconnecttest.com", "msn.com", "s-microsoft.com", "xboxlive.com", "skype.com", "apple.com", "apple-dns.net", "aaplimg.com",
    "cdn-apple.com", "mzstatic.com", "swcdn.apple.com", "captive.apple.com", "push.apple.com", "android.com", "gvt1.com",
    "gvt2.com", "clients3.google.com", "connectivitycheck.gstatic.com", "debian.org", "ubuntu.com", "canonical.com",
    "launchpad.net", "snapcraft.io", "redhat.com", "fedoraproject.org", "centos.org", "rockylinux.org", "almalinux.org",
    "opensuse.org", "suse.com", "archlinux.org", "gentoo.org", "alpinelinux.org", "nixos.org", "freebsd.org", "openbsd.org",
    "netbsd.org", "kernel.org", "linuxmint.com", "raspberrypi.com", "raspberrypi.org", "vmware.com", "broadcom.com", "proxmox.com",
    "openwrt.org", "chromium.org", "lineageos.org", "samsung.com", "mi.com", "huawei.com", "hicloud.com",
    /* software: browsers, updates, languages, packages, code */
    "mozilla.org", "mozilla.net", "mozilla.com", "firefox.com", "detectportal.firefox.com", "opera.com", "brave.com", "vivaldi.com",
    "torproject.org", "adobe.com", "adobe.io", "java.com", "dell.com", "hp.com", "lenovo.com", "asus.com", "acer.com", "intel.com",
    "amd.com", "nvidia.com", "logitech.com", "epson.com", "brother.com", "canon.com", "libreoffice.org", "videolan.org",
    "7-zip.org", "notepad-plus-plus.org", "github.com", "=githubusercontent.com", "githubassets.com", "=github.io", "ghcr.io",
    "gitlab.com", "bitbucket.org", "atlassian.com", "atlassian.net", "sourceforge.net", "stackoverflow.com", "stackexchange.com",
    "docker.com", "docker.io", "quay.io", "kubernetes.io", "k8s.io", "npmjs.org", "npmjs.com", "yarnpkg.com", "nodejs.org",
    "pypi.org", "pythonhosted.org", "python.org", "rubygems.org", "ruby-lang.org", "crates.io", "rust-lang.org", "golang.org",
    "go.dev", "packagist.org", "php.net", "perl.org", "cpan.org", "maven.org", "apache.org", "gradle.org", "nuget.org",
    "eclipse.org", "jetbrains.com", "visualstudio.com", "vscode.dev", "postgresql.org", "mysql.com", "mariadb.org", "mongodb.com",
    "elastic.co", "hashicorp.com", "grafana.com", "prometheus.io", "nginx.org", "letsencrypt.org", "gnu.org", "sqlite.org",
    "wordpress.org", "=wordpress.com", "drupal.org", "jenkins.io", "chocolatey.org", "brew.sh", "flathub.org",
    /* security products: definitions and reputation */
    "avast.com", "avg.com", "avira.com", "bitdefender.com", "bitdefender.net", "clamav.net", "crowdstrike.com", "cloudsink.net",
    "eset.com", "fortinet.com", "fortiguard.com", "f-secure.com", "kaspersky.com", "malwarebytes.com", "mcafee.com", "trellix.com",
    "norton.com", "paloaltonetworks.com", "sentinelone.net", "sophos.com", "sophosxl.net", "symantec.com", "symcb.com",
    "trendmicro.com", "virustotal.com", "checkpoint.com", "cisco.com", "opendns.com", "umbrella.com", "webroot.com", "zscaler.com",
    "qualys.com", "abuse.ch", "spamhaus.org", "misp-project.org", "safebrowsing.googleapis.com", "smartscreen.microsoft.com",
    /* certificates: OCSP, CRLs, time stamps */
    "ocsp.digicert.com", "crl3.digicert.com", "crl4.digicert.com", "cacerts.digicert.com", "digicert.com", "lencr.org",
    "ocsp.sectigo.com", "crl.sectigo.com", "sectigo.com", "usertrust.com", "comodoca.com", "globalsign.com", "globalsign.net",
    "ocsp.globalsign.com", "entrust.net", "ocsp.entrust.net", "pki.goog", "ocsp.pki.goog", "amazontrust.com", "identrust.com",
    "godaddy.com", "starfieldtech.com", "verisign.com", "thawte.com", "geotrust.com", "rapidssl.com", "quovadisglobal.com",
    "swisssign.net", "buypass.com", "certum.pl", "harica.gr", "telesec.de", "d-trust.net", "actalis.it", "ssl.com", "zerossl.com",
    "ocsp.apple.com", "crl.apple.com", "crl.microsoft.com", "ocsp.msocsp.com", "msocsp.com", "certificates.godaddy.com",
    /* time, addresses, the DNS itself */
    "pool.ntp.org", "ntp.org", "time.windows.com", "time.apple.com", "time.google.com", "time.cloudflare.com", "time.nist.gov",
    "ntp.ubuntu.com", "ptbtime1.ptb.de", "dns.google", "one.one.one.one", "dns.quad9.net", "quad9.net", "root-servers.net",
    "gtld-servers.net", "iana.org", "icann.org", "ietf.org", "rfc-editor.org", "ripe.net", "arin.net", "apnic.net", "lacnic.net",
    "afrinic.net", "isc.org", "nlnetlabs.nl", "nic.cz", "publicsuffix.org", "w3.org", "schema.org", "xmlsoap.org",
    /* people: networks, messengers, meetings, video, music, games, news */
    "facebook.com", "facebook.net", "fbcdn.net", "instagram.com", "cdninstagram.com", "whatsapp.com", "whatsapp.net",
    "messenger.com", "meta.com", "twitter.com", "x.com", "t.co", "twimg.com", "linkedin.com", "licdn.com", "tiktok.com",
    "tiktokcdn.com", "snapchat.com", "pinterest.com", "pinimg.com", "reddit.com", "redd.it", "redditstatic.com", "tumblr.com",
    "mastodon.social", "telegram.org", "t.me", "signal.org", "discord.com", "discord.gg", "discordapp.com", "slack.com",
    "slack-edge.com", "zoom.us", "webex.com", "teams.microsoft.com", "teamviewer.com", "anydesk.com", "gotomeeting.com",
    "meet.jit.si", "youtube.com", "youtu.be", "ytimg.com", "googlevideo.com", "vimeo.com", "vimeocdn.com", "twitch.tv",
    "dailymotion.com", "netflix.com", "nflxvideo.net", "nflximg.net", "disneyplus.com", "hulu.com", "primevideo.com", "spotify.com",
    "scdn.co", "deezer.com", "soundcloud.com", "steampowered.com", "steamcommunity.com", "steamstatic.com", "epicgames.com",
    "roblox.com", "ea.com", "playstation.com", "playstation.net", "nintendo.net", "bbc.co.uk", "bbc.com", "cnn.com", "nytimes.com",
    "theguardian.com", "reuters.com", "washingtonpost.com", "spiegel.de", "zeit.de", "lemonde.fr", "elpais.com", "corriere.it",
    /* app stores, work, files, shops, travel */
    "play.google.com", "apps.apple.com", "itunes.apple.com", "dropbox.com", "dropboxapi.com", "box.com", "onedrive.com",
    "drive.google.com", "docs.google.com", "wetransfer.com", "salesforce.com", "force.com", "sap.com", "workday.com",
    "servicenow.com", "=service-now.com", "zendesk.com", "hubspot.com", "notion.so", "trello.com", "asana.com", "figma.com",
    "canva.com", "openai.com", "chatgpt.com", "anthropic.com", "claude.ai", "huggingface.co", "okta.com", "auth0.com",
    "duosecurity.com", "duo.com", "1password.com", "lastpass.com", "bitwarden.com", "docusign.net", "docusign.com", "shopify.com",
    "ebay.com", "amazon.de", "amazon.co.uk", "amazon.fr", "amazon.it", "amazon.es", "amazon.co.jp", "aliexpress.com", "alibaba.com",
    "taobao.com", "etsy.com", "walmart.com", "ikea.com", "booking.com", "airbnb.com", "expedia.com", "uber.com", "bahn.de",
    "sncf-connect.com", "ups.com", "fedex.com", "dhl.com", "dhl.de", "usps.com",
    /* money */
    "paypal.com", "paypalobjects.com", "stripe.com", "stripe.network", "visa.com", "mastercard.com", "americanexpress.com",
    "swift.com", "klarna.com", "adyen.com", "worldpay.com", "wise.com", "revolut.com", "n26.com", "chase.com", "jpmorgan.com",
    "bankofamerica.com", "wellsfargo.com", "citi.com", "citibank.com", "capitalone.com", "usbank.com", "schwab.com", "fidelity.com",
    "vanguard.com", "hsbc.com", "hsbc.co.uk", "barclays.co.uk", "lloydsbank.com", "natwest.com", "santander.com", "santander.co.uk",
    "bbva.com", "caixabank.es", "bnpparibas.com", "bnpparibas.net", "societegenerale.fr", "credit-agricole.fr", "deutsche-bank.de",
    "db.com", "commerzbank.de", "sparkasse.de", "dkb.de", "ing.com", "ing.de", "ing.nl", "rabobank.nl", "abnamro.nl", "kbc.be",
    "unicredit.it", "intesasanpaolo.com", "ubs.com", "postfinance.ch", "raiffeisen.ch", "raiffeisen.at", "erstegroup.com",
    "nordea.com", "danskebank.dk", "seb.se", "swedbank.se", "pkobp.pl", "rbc.com", "td.com", "scotiabank.com", "commbank.com.au",
    "anz.com", "westpac.com.au", "nab.com.au", "icbc.com.cn", "sbi.co.in", "hdfcbank.com", "icicibank.com", "itau.com.br",
    "bradesco.com.br", "mufg.jp", "dbs.com", "ecb.europa.eu", "bundesbank.de", "federalreserve.gov",
    /* governments and what belongs to all */
    "europa.eu", "gov.uk", "service.gov.uk", "nhs.uk", "usa.gov", "irs.gov", "login.gov", "ssa.gov", "va.gov", "nih.gov", "cdc.gov",
    "nasa.gov", "noaa.gov", "weather.gov", "fbi.gov", "cisa.gov", "nist.gov", "whitehouse.gov", "canada.ca", "bund.de",
    "bund.bsi.de", "elster.de", "arbeitsagentur.de", "gouv.fr", "service-public.fr", "ameli.fr", "admin.ch", "gv.at", "belgium.be",
    "overheid.nl", "digid.nl", "belastingdienst.nl", "gov.pl", "gov.it", "agenziaentrate.gov.it", "gob.es", "gov.pt", "gov.ie",
    "skatteverket.se", "altinn.no", "suomi.fi", "borger.dk", "mitid.dk", "gov.au", "ato.gov.au", "govt.nz", "gov.in",
    "uidai.gov.in", "gov.br", "go.jp", "gov.sg", "un.org", "who.int", "interpol.int", "europol.europa.eu", "icrc.org",
    "redcross.org",
    /* numbers about visitors: not loved, but half the web waits for them */
    "google-analytics.com", "googletagmanager.com", "googleadservices.com", "googlesyndication.com", "doubleclick.net",
    "gravatar.com", "recaptcha.net", "hcaptcha.com", "onetrust.com", "cookielaw.org", "newrelic.com", "datadoghq.com", "sentry.io",
    "segment.io"};

const char *const *popular_names(size_t *count) {
    *count = sizeof names / sizeof *names;
    return names;
}
