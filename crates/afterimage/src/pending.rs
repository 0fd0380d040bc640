pub(crate) mod schema_registry {
    #[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Config {
        pub url: String,
        #[serde(default)]
        pub user: Option<String>,
        #[serde(default)]
        pub password: Option<String>,
        #[serde(default)]
        pub token: Option<String>,
    }
}
