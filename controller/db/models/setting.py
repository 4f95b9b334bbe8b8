"""What the cloud knows of itself, such as its id (`cloud_id`)."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base


class CloudSetting(Base):
    __tablename__ = "cloud_settings"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(255))
