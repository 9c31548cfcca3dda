//! Where Redis is: the URL of a single server, of sentinels, or of a cluster.

use std::path::Path;

use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo, TlsCertificates, TlsMode,
};
use url::Url;

use crate::ConnectError;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A place, checked.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    hosts: Vec<(String, u16)>,
    username: Option<String>,
    password: Option<String>,
    database: i64,
    tls: bool,
    /// PEM.
    authorities: Option<Vec<u8>>,
}

/// What is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Single,
    /// The name of the master.
    Sentinel(String),
    Cluster,
}

fn wrong(why: &str) -> ConnectError {
    ConnectError::Url(why.to_owned())
}

impl Place {
    /// Reads a URL.
    pub(crate) fn read(url: &str, ca: Option<&Path>) -> Result<Self, ConnectError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let (tls, form) = match scheme.split_once('+').unwrap_or((scheme, "")) {
            ("redis", form) => (false, form),
            ("rediss", form) => (true, form),
            _ => return Err(wrong("it does not begin with `redis` or `rediss`")),
        };
        // Several hosts are no URL: the first one stands in for them.
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let path: Vec<&str> = path.split('/').collect();
        let (kind, database) = match (form, path.as_slice()) {
            ("", [""]) => (Kind::Single, "0"),
            ("", [database]) => (Kind::Single, *database),
            ("sentinel", [name] | [name, ""]) if !name.is_empty() => (Kind::Sentinel((*name).to_owned()), "0"),
            ("sentinel", [name, database]) if !name.is_empty() => (Kind::Sentinel((*name).to_owned()), *database),
            ("sentinel", _) => return Err(wrong("the path of sentinels is the master's name, like `/mymaster`")),
            ("cluster", [""]) => (Kind::Cluster, "0"),
            ("cluster", _) => return Err(wrong("a cluster has no numbered databases: leave the path out")),
            _ => return Err(wrong("the forms are `redis://`, `redis+sentinel://` and `redis+cluster://`")),
        };
        let database = database.parse().ok().filter(|number| (0..=65_535).contains(number));
        let database = database.ok_or_else(|| wrong("the path is the number of a database, like `/0`"))?;
        let port = if matches!(kind, Kind::Sentinel(_)) { SENTINEL_PORT } else { PORT };
        let hosts = hosts.split(',').map(|host| host_of(credentials, host, port)).collect::<Result<Vec<_>, _>>()?;
        if hosts.len() > 1 && kind == Kind::Single {
            return Err(wrong(
                "several hosts are sentinels or a cluster: say which by `redis+sentinel://` or \
                              `redis+cluster://`",
            ));
        }
        let (_, _, username, password) = &hosts[0];
        let authorities = ca.map(std::fs::read).transpose();
        let authorities = authorities.map_err(|error| wrong(&format!("the file of authorities: {error}")))?;
        Ok(Self {
            kind,
            username: username.clone(),
            password: password.clone(),
            hosts: hosts.into_iter().map(|(host, port, _, _)| (host, port)).collect(),
            database,
            tls,
            authorities,
        })
    }

    fn certificates(&self) -> TlsCertificates {
        TlsCertificates { client_tls: None, root_cert: self.authorities.clone() }
    }

    fn address(&self, (host, port): &(String, u16)) -> ConnectionAddr {
        if self.tls {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host.clone(), *port)
        }
    }

    fn info(&self, host: &(String, u16)) -> redis::RedisResult<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default().set_db(self.database);
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        Ok(self.address(host).into_connection_info()?.set_redis_settings(settings))
    }

    /// A client of one host: the single server, or any node of a cluster.
    pub(crate) fn client(&self, host: usize) -> redis::RedisResult<Client> {
        let info = self.info(&self.hosts[host % self.hosts.len()])?;
        if self.tls { Client::build_with_tls(info, self.certificates()) } else { Client::open(info) }
    }

    /// A client of all nodes of a cluster.
    pub(crate) fn cluster(&self) -> redis::RedisResult<redis::cluster::ClusterClientBuilder> {
        let nodes = self.hosts.iter().map(|host| self.info(host)).collect::<Result<Vec<_>, _>>()?;
        let mut builder = redis::cluster::ClusterClientBuilder::new(nodes);
        if self.tls {
            builder = builder.tls(TlsMode::Secure).certs(self.certificates());
        }
        Ok(builder)
    }

    /// A client that asks sentinels for the master.
    pub(crate) fn sentinel(&self, name: &str) -> redis::RedisResult<SentinelClient> {
        let hosts = self.hosts.iter().map(|host| self.address(host));
        let mut builder = SentinelClientBuilder::new(hosts, name, SentinelServerType::Master)?;
        builder = builder.set_client_to_redis_db(self.database);
        // The sentinels of a deployment have the credentials of its servers, or none.
        if let Some(username) = &self.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.set_client_to_redis_password(password);
        }
        if self.tls {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(self.certificates())
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(self.certificates());
        }
        builder.build()
    }
}

type Host = (String, u16, Option<String>, Option<String>);

fn host_of(credentials: &str, host: &str, port: u16) -> Result<Host, ConnectError> {
    let text =
        if credentials.is_empty() { format!("redis://{host}/") } else { format!("redis://{credentials}@{host}/") };
    // Its error may repeat what was read, and so the password.
    let url =
        Url::parse(&text).map_err(|_| wrong("a host is no host, or a character of the password is not escaped"))?;
    let name = url.host_str().filter(|name| !name.is_empty()).ok_or_else(|| wrong("a host is missing"))?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let decode = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded.map(|text| text.into_owned()).map_err(|_| wrong("the credentials are not UTF-8"))
    };
    let username = Some(url.username()).filter(|name| !name.is_empty()).map(decode).transpose()?;
    let password = url.password().map(decode).transpose()?;
    Ok((name.to_owned(), url.port().unwrap_or(port), username, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Place {
        Place::read(url, None).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn all_forms_are_read() {
        let single = read("rediss://user:p%40ss@host/3");
        assert_eq!((single.kind, single.tls, single.database), (Kind::Single, true, 3));
        assert_eq!((single.username.as_deref(), single.password.as_deref()), (Some("user"), Some("p@ss")));
        assert_eq!(single.hosts, [("host".to_owned(), 6379)]);
        let sentinel = read("redis+sentinel://:pass@a,b:1,[::1]:2/main/4");
        assert_eq!((sentinel.kind, sentinel.database), (Kind::Sentinel("main".to_owned()), 4));
        assert_eq!(sentinel.hosts, [("a".to_owned(), 26379), ("b".to_owned(), 1), ("::1".to_owned(), 2)]);
        let cluster = read("redis+cluster://a:1,b:2");
        assert_eq!((cluster.kind, cluster.hosts.len(), cluster.password), (Kind::Cluster, 2, None));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in [
            "host",
            "http://u:hunter2@h",
            "redis://u:hunter2@",
            "redis://u:hunter2@h:port",
            "redis://u:hunter2@a,b",
            "redis://u:hunter2@h/zero",
            "redis+sentinel://u:hunter2@h",
            "redis+cluster://u:hunter2@h/1",
            "redis+other://u:hunter2@h",
            "redis://u:hun#ter2@h",
        ] {
            let Err(error) = Place::read(url, None) else { panic!("{url} was read") };
            assert!(!error.to_string().contains("ter2"), "{error}");
        }
    }
}
