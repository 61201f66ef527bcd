/* feeds/shared_hosts.c: see shared_hosts.h. One reason to exist: the list.
 *
 * Sorted; a name below one that is listed need not be. Grown from dead drops and false positives seen in real feeds. */
#include "feeds/shared_hosts.h"

#include <stdlib.h>
#include <string.h>

static const char *const hosts[] = {
    "000webhostapp.com", "1drv.ms", "3utilities.com", "4shared.com", "7-zip.org", "a.co", "accounts.google.com", "adobe.com",
    "afraid.org", "akamai.net", "akamaihd.net", "akamaized.net", "alibaba.com", "alicdn.com", "aliyuncs.com", "altervista.org",
    "amazon.com", "amazonaws.com", "angelfire.com", "anonfile.com", "anonfiles.com", "apple.com", "appspot.com", "archive.is",
    "archive.org", "archive.ph", "azureedge.net", "azurefd.net", "azurewebsites.net", "b-cdn.net", "backblazeb2.com",
    "baidu.com", "bashupload.com", "bing.com", "bit.ly", "bitbucket.org", "blob.core.windows.net", "blogger.com",
    "blogspot.com", "box.com", "catbox.moe", "cdn.discordapp.com", "cdn77.org", "checkip.amazonaws.com", "chickenkiller.com",
    "clck.ru", "cloudflare-ipfs.com", "cloudflare.com", "cloudflarestorage.com", "cloudfront.net", "cloudinary.com",
    "coding.net", "cutt.ly", "ddns.net", "ddnsfree.com", "debian.org", "digitaloceanspaces.com", "discord.com", "discord.gg",
    "discordapp.com", "discordapp.net", "docdroid.net", "docs.google.com", "dpaste.com", "drive.google.com", "dropbox.com",
    "dropboxusercontent.com", "dropmefiles.com", "duckdns.org", "dyndns.org", "dynu.net", "ebay.com", "element.io",
    "evernote.com", "facebook.com", "fastly.net", "fastlylb.net", "fbcdn.net", "file.io", "filebin.net", "files.catbox.moe",
    "firebaseapp.com", "firebaseio.com", "firebasestorage.googleapis.com", "flickr.com", "framer.app", "free.fr", "ge.tt",
    "geocities.com", "getpocket.com", "gist.github.com", "git.io", "gitbook.io", "gitee.com", "github.com", "github.io",
    "githubusercontent.com", "gitlab.com", "gitlab.io", "glitch.me", "gmail.com", "godaddysites.com", "gofile.io", "goo.gl",
    "google.com", "googleapis.com", "googledrive.com", "googleusercontent.com", "googlevideo.com", "gotdns.ch", "gstatic.com",
    "hastebin.com", "herokuapp.com", "hopto.org", "hotmail.com", "ibb.co", "icanhazip.com", "icloud.com", "ifconfig.me",
    "imgur.com", "infinityfreeapp.com", "instagram.com", "ip-api.com", "ipfs.io", "ipify.org", "ipinfo.io", "is.gd",
    "issuu.com", "j.mp", "jianguoyun.com", "jimdo.com", "jimdosite.com", "jsdelivr.net", "justpaste.it", "kaspersky.com",
    "kernel.org", "linkedin.com", "linktr.ee", "litter.catbox.moe", "live.com", "lnkd.in", "loca.lt", "localhost.run",
    "mail.ru", "matrix.org", "mediafire.com", "medium.com", "mega.co.nz", "mega.io", "mega.nz", "microsoft.com",
    "microsoftonline.com", "mooo.com", "mozilla.com", "mozilla.net", "mozilla.org", "msn.com", "myfritz.net", "myftp.biz",
    "myqcloud.com", "myshopify.com", "netlify.app", "netlify.com", "ngrok-free.app", "ngrok.app", "ngrok.io", "no-ip.biz",
    "no-ip.com", "no-ip.org", "notion.site", "notion.so", "npmjs.com", "npmjs.org", "nuget.org", "office.com", "office.net",
    "office365.com", "ok.ru", "onedrive.com", "onedrive.live.com", "onrender.com", "outlook.com", "ow.ly", "pages.dev",
    "paste.ee", "pastebin.com", "pastebin.pl", "paypal.com", "photobucket.com", "pinimg.com", "pinterest.com", "pixeldrain.com",
    "pkg.go.dev", "playit.gg", "ply.gg", "privatebin.net", "pypi.org", "python.org", "pythonhosted.org", "qq.com", "qrco.de",
    "quickconnect.to", "quora.com", "r2.dev", "railway.app", "raw.githubusercontent.com", "rb.gy", "readthedocs.io",
    "rebrand.ly", "redd.it", "reddit.com", "rentry.co", "rentry.org", "replit.app", "replit.dev", "s.id", "s3.amazonaws.com",
    "salesforce.com", "scribd.com", "sendspace.com", "servehttp.com", "serveo.net", "sharepoint.com", "shopify.com",
    "shorturl.at", "signal.org", "sites.google.com", "skype.com", "slack-files.com", "slack.com", "slideshare.net",
    "snapchat.com", "sourceforge.net", "spotify.com", "squarespace.com", "stackoverflow.com", "steamcommunity.com",
    "steampowered.com", "storage.googleapis.com", "strikingly.com", "supabase.co", "surge.sh", "sway.office.com", "synology.me",
    "sytes.net", "t.co", "t.ly", "t.me", "taobao.com", "telebit.io", "telegra.ph", "telegram.me", "telegram.org", "temp.sh",
    "tencent.com", "textbin.net", "tiktok.com", "tiny.cc", "tinyurl.com", "top4top.io", "transfer.sh", "trello.com",
    "tripod.com", "trycloudflare.com", "tumblr.com", "twimg.com", "twitch.tv", "twitter.com", "typeform.com", "ubuntu.com",
    "ucoz.com", "ucoz.net", "ufile.io", "unpkg.com", "uploadcare.com", "uploadfiles.io", "uploadnow.io", "userapi.com",
    "vercel.app", "vimeo.com", "virustotal.com", "vk.com", "vk.me", "wa.me", "we.tl", "web.app", "webflow.io", "weebly.com",
    "weibo.com", "wetransfer.com", "whatsapp.com", "whatsapp.net", "wikimedia.org", "wikipedia.org", "windows.com",
    "windows.net", "windowsupdate.com", "wix.com", "wixsite.com", "wordpress.com", "wordpress.org", "workers.dev", "wp.com",
    "x.com", "yadi.sk", "yahoo.com", "yandex.com", "yandex.net", "yandex.ru", "yandexcloud.net", "yolasite.com", "youtu.be",
    "youtube.com", "ytimg.com", "zapto.org", "zendesk.com", "zippyshare.com", "zoho.com", "zohopublic.com", "zoom.us",
};

static int compare(const void *key, const void *element) {
    return strcmp(key, *(const char *const *)element);
}

bool shared_hosts_has(const struct name *name) {
    char text[NAME_TEXT_MAX];
    name_to_text(name->wire, text);
    for (const char *suffix = text; suffix != NULL; suffix = strchr(suffix, '.')) {
        suffix += *suffix == '.';
        if (bsearch(suffix, hosts, sizeof hosts / sizeof *hosts, sizeof *hosts, compare) != NULL)
            return true;
    }
    return false;
}

const char *const *shared_hosts_list(size_t *count) {
    *count = sizeof hosts / sizeof *hosts;
    return hosts;
}
