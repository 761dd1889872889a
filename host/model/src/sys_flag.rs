//! Bits of a message's `sysFlag` and of a pull request's. Source: RocketMQ `MessageSysFlag`, `PullSysFlag`.

/// The body is compressed; the broker neither compresses nor inflates.
pub const COMPRESSED: i32 = 0x1;
/// The topic's filter type is MULTI_TAG.
pub const MULTI_TAGS: i32 = 0x2;
/// Mask of the transaction bits.
pub const TRANSACTION_MASK: i32 = 0xC;
/// Transaction bits of a half message.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// Transaction bits of a committed message.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// Transaction bits of a rolled back message.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// The born host is IPv6 (16 bytes).
pub const BORN_HOST_V6: i32 = 0x10;
/// The store host is IPv6 (16 bytes).
pub const STORE_HOST_V6: i32 = 0x20;

/// Pull: `commitOffset` is to be stored.
pub const PULL_COMMIT_OFFSET: i32 = 0x1;
/// Pull: the broker may hold the request until a message arrives.
pub const PULL_SUSPEND: i32 = 0x2;
/// Pull: the request carries its own subscription.
pub const PULL_SUBSCRIPTION: i32 = 0x4;
/// Pull: class filter mode; such requests are not filtered by tag.
pub const PULL_CLASS_FILTER: i32 = 0x8;
/// Pull: sent by a lite pull consumer.
pub const PULL_LITE: i32 = 0x10;

/// Whether a record with this flag appears in its consume queue: rolled back and prepared ones do not.
pub const fn is_dispatched(sys_flag: i32) -> bool {
    matches!(sys_flag & TRANSACTION_MASK, 0 | TRANSACTION_COMMIT)
}
