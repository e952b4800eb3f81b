//! What a `User-Agent` gives away. Our own rules: words that programs use of themselves, the names of mail scanners,
//! and the shape that every browser's and mail program's text has.

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    /// A browser or a mail program, which a person uses.
    Person,
    /// A crawler, a scanner, a library.
    Program,
    /// A mail host's picture proxy, which says who it is.
    Proxy,
    /// `Mozilla/5.0` and nothing else: Apple's Mail Privacy Protection, when it loads pictures.
    Bare,
}

/// Picture proxies of mail hosts.
const PROXIES: [&str; 4] = ["googleimageproxy", "ggpht.com", "yahoomailproxy", "yahoo! slurp image proxy"];

/// What programs call themselves. Words that may stand inside those of browsers stand in [`WHOLE_WORDS`].
const WORDS: &str = "\
    bot crawl spider scrap slurp scan fetch monitor check preview archiv search index valid analy audit \
    survey research probe feed rss proxy headless phantom selenium puppeteer playwright webdriver pagespeed \
    curl wget python perl java/ ruby php libwww httpclient http-client http_client http.rb guzzle axios \
    okhttp aiohttp httpx node- nodejs undici apache- go-http jakarta winhttp postman insomnia powershell \
    dataprovider facebookexternal meta-external whatsapp telegram skypeuri slack discord embed link seo agent \
    reader download harvest extract collect grab verif security threat virus malware phish safebrowsing \
    safety barracuda proofpoint mimecast symantec messagelabs fireeye trellix trendmicro ironport sophos \
    zscaler bitdefender fortinet fortiguard forcepoint websense cloudmark vade avanan checkpoint paloalto \
    urlscan netcraft ahrefs semrush lighthouse gptbot openai claude anthropic perplexity google- google_ \
    googleother googleweblight bing yandex.com baidu.com ptst gtmetrix pingdom statuscake uptime nagios \
    zabbix datadog newrelic catchpoint dareboost wordpress drupal joomla magento engine mastodon fediverse \
    pleroma misskey thumb screenshot snapshot capture translat summar nutch heritrix lucene scrapy colly \
    zgrab masscan nmap nikto sqlmap nessus qualys acunetix burp censys shodan expanse";

/// The same, where only the whole word counts.
const WHOLE_WORDS: &str = "\
    go java lua rust got needle request requests ai api web test server newsai collapsify hardenize siteimprove \
    silktide";

/// Names of devices and browsers that hold one of [`WORDS`].
const NOT_PROGRAMS: &str = "\
    linkedinapp cubot bingweb bingsapphire \
    searchcraft uplink";

/// How browsers and mail programs begin. The first needs an engine behind it.
const BEGINNINGS: [&str; 8] = [
    "mozilla/",
    "opera/",
    "microsoft office/",
    "microsoft outlook",
    "outlook-",
    "dalvik/",
    "thunderbird",
    "lotus-notes/",
];

/// The engines of browsers, as they stand in their texts.
const ENGINES: [&str; 7] = ["applewebkit/", "gecko", "msie ", "trident/", "presto", "khtml", "opera"];

/// Reads a `User-Agent`.
pub fn agent(text: &str) -> Agent {
    let mut text = text.trim().to_ascii_lowercase();
    if text == "mozilla/5.0" {
        return Agent::Bare;
    }
    if PROXIES.iter().any(|name| text.contains(name)) {
        return Agent::Proxy;
    }
    for name in NOT_PROGRAMS.split(' ') {
        text = text.replace(name, "");
    }
    let begins = BEGINNINGS.iter().find(|start| text.starts_with(**start));
    let is_browser = match begins {
        Some(&"mozilla/") => text.contains('(') && ENGINES.iter().any(|engine| text.contains(engine)),
        Some(_) => true,
        None => false,
    };
    // Programs give an address to write to, browsers have none.
    let has_contact =
        text.contains("http:") || text.contains("https:") || text.contains("www.") || text.contains('@');
    let is_compatible =
        text.contains("(compatible;") && !text.contains("msie ") && !text.contains("konqueror");
    let is_named = WORDS.split(' ').any(|word| text.contains(word))
        || text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| WHOLE_WORDS.split(' ').any(|known| known == word));
    if is_browser && !has_contact && !is_compatible && !is_named { Agent::Person } else { Agent::Program }
}

#[cfg(test)]
mod tests {
    use super::Agent;
    use super::agent;

    #[test]
    fn programs_proxies_and_people_are_told_apart() {
        for (text, expected) in [
            ("", Agent::Program),
            ("Mozilla/5.0", Agent::Bare),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", Agent::Program),
            ("python-requests/2.32.3", Agent::Program),
            ("Mozilla/5.0 (compatible; Whatever/1.0)", Agent::Program),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
                Agent::Program,
            ),
            ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", Agent::Proxy),
            (
                "Mozilla/5.0 (Linux; Android 9; CUBOT_X18_Plus) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
                Agent::Person,
            ),
            ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)", Agent::Person),
            (
                "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Trident/7.0; Microsoft Outlook 16.0.4266)",
                Agent::Person,
            ),
        ] {
            assert_eq!(agent(text), expected, "{text}");
        }
    }
}
